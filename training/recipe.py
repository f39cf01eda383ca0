"""A recipe: everything that decides what a training run gives, but the library versions and the machine."""

import dataclasses
import difflib
import importlib.resources
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..representations.encoders import EncoderSpec
from ..representations.errors import InputError
from ..representations.seeds import derive_seed
from .augment import Augment
from .poison import ARMS
from .triggers import Blend, Patch, Sinusoid, Spectral, Trigger, Warp

__all__ = ["Recipe", "preset_names", "read_recipe"]

SMALLEST_WAVE = 13  # pixels that hold SIG's six cycles


@dataclass(frozen=True)
class Recipe:
    """Field names are the keys of the TOML file and the options of the command line. Any value out of range is an
    :class:`InputError` that names the field, what is expected and what was received."""

    name: str = "custom"
    arm: str = "simclr-clean"
    seed: int = 0
    # data
    data: str = "digits"
    image_size: int = 16
    n_train: int | None = None
    n_test: int | None = None
    squeeze: tuple[float, float] = (0.0, 1.0)
    """Range that pixel values are squeezed into: blends then neither saturate nor vanish on binary-looking images."""
    # poison
    target: int = 0
    poison_fraction: float = 0.5
    poison_base: str = "target_class"
    trigger: str = "blend"
    strength: float | None = None
    """In the trigger's own unit; its own default if not given."""
    test_strength: float | None = None
    """Strength at test time; the training strength if not given."""
    trigger_size: int = 3
    """Side of a patch, in pixels."""
    trigger_place: str = "corner"
    """Of a patch: ``corner``, or ``random``, in each image somewhere else."""
    trigger_cells: int | None = None
    """Cells on a side of a blended pattern (one a pixel if not given), or control points of a warp (4)."""
    trigger_band: str = "chroma"
    """Of a spectral trigger: ``chroma`` or ``luma``."""
    poison_choice: str = "random"
    """Which images of a list are poisoned: ``random``, drawn by the seed, or its ``first``."""
    quantise: bool = True
    """Round triggered training images to whole grey levels, as files on disk would be."""
    # encoder
    arch: str = "resnet8"
    width: int = 12
    normalise: bool = True
    """Map pixels from [0, 1] to [−2, 2] before the first layer."""
    # objective
    hidden: int = 96
    projection: int = 96
    temperature: float = 0.5
    head_norm: bool = True
    """BatchNorm in SimCLR's projector."""
    loss_scale: float = 1.0
    """What the loss is multiplied by for the gradient; the loss that is written down is not."""
    ema: float = 0.99
    """Momentum of the slow copy of BYOL (at the start) and MoCo."""
    queue: int = 4096
    """Keys that MoCo compares with."""
    redundancy: float = 5e-3
    """Weight λ of the off-diagonal terms of Barlow Twins."""
    # augmentation
    crop: float = 0.2
    flip: float = 0.5
    jitter: float = 0.4
    hue: float = 0.1
    jitter_p: float = 0.8
    grayscale: float = 0.2
    jitter_coin: str = "image"
    """Whether each ``image`` has a coin for the jitter, or all images of a ``batch`` share one, a coin a view."""
    # optimisation
    optimiser: str = "adam"
    lr: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup: float = 0.3
    """Share of the steps in which the learning rate rises; it falls along a cosine after that."""
    schedule: str = "onecycle"
    """``onecycle``, step by step, or ``epochs``, a line and a cosine in whole epochs, the first at rate 0."""
    batch: int = 128
    epochs: int = 40
    attack_epochs: int = 200
    """Of an attack on a trained encoder (``badencoder``); ``epochs`` are those of the encoder it starts from."""
    attack_lr: float = 1e-3
    precision: str = "float32"
    """``float32``; ``bf16`` or, with a loss scaler, ``fp16``: autocast."""
    compile: bool = False
    """Run the encoder through ``torch.compile``."""
    sync_batchnorm: bool = False
    """Under torchrun: BatchNorm over the whole batch, and not over each process's part."""
    eval_every: int = 1
    """Epochs between two readings of ACC and ASR; the last epoch is always read."""

    def __post_init__(self) -> None:
        for field, kind in typing.get_type_hints(type(self)).items():
            object.__setattr__(self, field, _coerce(field, kind, getattr(self, field)))
        _one_of("arm", self.arm, tuple(ARMS))
        _one_of("poison_base", self.poison_base, ("target_class", "dataset"))
        _one_of("trigger", self.trigger, ("blend", "patch", "spectral", "sinusoid", "warp"))
        _one_of("trigger_place", self.trigger_place, ("corner", "random"))
        _one_of("trigger_band", self.trigger_band, ("chroma", "luma"))
        _one_of("poison_choice", self.poison_choice, ("random", "first"))
        _one_of("jitter_coin", self.jitter_coin, ("image", "batch"))
        _one_of("schedule", self.schedule, ("onecycle", "epochs"))
        _one_of("optimiser", self.optimiser, ("adam", "sgd"))
        _one_of("precision", self.precision, ("float32", "bf16", "fp16"))
        for field in ("n_train", "n_test", "hidden", "projection", "queue", "epochs", "attack_epochs", "eval_every"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise InputError(f"{field}: expected a whole number of at least 1, received {value}")
        if self.batch < 2:
            raise InputError(f"batch: expected at least 2 images, received {self.batch}")
        for field in ("temperature", "loss_scale", "lr", "attack_lr"):
            if not 0 < getattr(self, field) < 1e38:
                raise InputError(f"{field}: expected a positive float32, received {getattr(self, field)}")
        if not 0 <= self.squeeze[0] < self.squeeze[1] <= 1:
            raise InputError(f"squeeze: expected 0 ≤ low < high ≤ 1, received {self.squeeze}")
        if self.target < 0:
            raise InputError(f"target: expected a class from 0 up, received {self.target}")
        if not 0 < self.poison_fraction <= 1:
            raise InputError(
                f"poison_fraction: expected a share in (0, 1] that gives a poison count from 1 to the class's size, "
                f"received {self.poison_fraction:g}"
            )
        for field in ("momentum", "ema", "warmup"):
            if not 0 <= getattr(self, field) < 1:
                raise InputError(f"{field}: expected a number in [0, 1), received {getattr(self, field)}")
        for field in ("weight_decay", "redundancy"):
            if getattr(self, field) < 0:
                raise InputError(f"{field}: expected a number of at least 0, received {getattr(self, field)}")
        # What these check themselves is refused before any work is done.
        self.encoder_spec()
        self.augment()
        self.make_trigger()
        try:
            self.make_trigger(test=True)
        except InputError as error:
            raise InputError(f"test_{error}") from None  # the training strength has just passed

    def encoder_spec(self) -> EncoderSpec:
        spec = EncoderSpec(self.arch, self.width, self.image_size)
        return spec if self.normalise else replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def augment(self) -> Augment:
        one_coin = self.jitter_coin == "batch"
        return Augment(self.crop, self.flip, self.jitter, self.hue, self.jitter_p, self.grayscale, one_coin)

    def make_trigger(self, *, test: bool = False) -> Trigger:
        """The trigger at training or test strength, the same in every arm. Patterns of a patch, a blend and a warp
        are functions of the seed; SIG's wave and CTRL's frequencies are the same in every seed."""
        strength = self.test_strength if test and self.test_strength is not None else self.strength
        own: dict[str, Any] = {} if strength is None else {"strength": strength}
        seed = derive_seed(self.seed, "trigger")
        match self.trigger:
            case "patch":
                place = "random" if self.trigger_place == "random" else None
                return Patch(self.image_size, seed, size=self.trigger_size, place=place, **own)
            case "blend":
                return Blend(self.image_size, seed, cells=self.trigger_cells, **own)
            case "sinusoid":
                if self.image_size < SMALLEST_WAVE:
                    raise InputError(
                        f"image_size: expected at least {SMALLEST_WAVE} pixels for a sinusoid of 6 cycles, received "
                        f"{self.image_size}"
                    )
                return Sinusoid(self.image_size, **own)
            case "warp":
                control = 4 if self.trigger_cells is None else self.trigger_cells
                return Warp(self.image_size, seed, control=control, **own)
        return Spectral(self.image_size, band=self.trigger_band, **own)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Raises :class:`InputError` for an unknown field, naming the nearest one."""
        fields = [f.name for f in dataclasses.fields(cls)]
        for key in values:
            if key not in fields:
                nearest = difflib.get_close_matches(key, fields, 1, cutoff=0)[0]
                raise InputError(f"recipe: unknown field {key!r}; the nearest one is {nearest!r}")
        return cls(**values)

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some fields changed; values may be strings, as on the command line."""
        return Recipe.from_dict(self.to_dict() | changes)


def preset_names() -> list[str]:
    """The recipes that ship with the package."""
    folder = importlib.resources.files(__package__) / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def read_recipe(source: str | Path, **changes: Any) -> Recipe:
    """A preset by name, or a TOML file by path, with some fields changed.

    A file may name a preset as its ``base``: fields that it does not set are the preset's.

    >>> read_recipe("digits-demo", epochs="3").epochs
    3
    """
    try:
        is_file = Path(source).is_file()
    except (OSError, ValueError):  # too long for a path, or a null byte in it
        is_file = False
    if str(source) in preset_names():
        text = (importlib.resources.files(__package__) / "presets" / f"{source}.toml").read_text()
    elif is_file:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"recipe: {source} cannot be read: {error}") from None
    else:
        presets = ", ".join(preset_names())
        raise InputError(f"recipe: expected a TOML file or one of {presets}, received {str(source)[:200]!r}")
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, thousands of nested lists
        raise InputError(f"recipe: {source} is not valid TOML: {error}") from None
    base = values.pop("base", None)
    if base is not None and base not in preset_names():
        raise InputError(f"base: expected one of {', '.join(preset_names())}, received {base!r}")
    begun = read_recipe(base).to_dict() if base is not None else {}
    return Recipe.from_dict(begun | {"name": Path(source).stem} | values | changes)


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{field}: expected one of {', '.join(allowed)}, received {value!r}")


def _coerce(field: str, kind: Any, value: Any) -> Any:
    """``value`` as the field's type; text from the command line is read, and nothing else is bent to fit."""
    if isinstance(kind, types.UnionType):
        if value is None or value == "none":
            return None
        kind = next(k for k in kind.__args__ if k is not type(None))
    if typing.get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or len(parts) != len(kind.__args__):
            raise InputError(f"{field}: expected {len(kind.__args__)} numbers, received {value!r}")
        return tuple(_coerce(field, k, v) for k, v in zip(kind.__args__, parts, strict=True))
    wanted = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}[kind]
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            raise InputError(f"{field}: expected {wanted}, received {value!r}") from None
    # Python's whole numbers have no end: those of hundreds of digits are no float, of thousands cannot even be printed.
    if type(value) is int and abs(value) >= 10**100:
        raise InputError(f"{field}: expected {wanted}, received a whole number of more than a hundred digits")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise InputError(f"{field}: expected {wanted}, received {value!r}")
    return value
