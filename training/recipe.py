"""A recipe: everything that decides what a training run gives, but the library versions and the machine.

This module imports no torch: the command line lists the fields at once. Methods that make parts import what they need.
"""

import dataclasses
import importlib.resources
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from ..representations.errors import InputError
from .arms import ArmName
from .fields import Expected, about, one_line_errors, read_text

if TYPE_CHECKING:
    from ..representations.encoders import EncoderSpec
    from .augment import Augment
    from .triggers import Trigger

__all__ = ["EARLIER", "Recipe", "preset_names", "read_recipe"]

EARLIER = {"pair_share": 1.0, "trigger_frequency": 6, "trigger_wave": "fixed"}
"""Fields that recipes from before December 2026 lack, and what their runs did."""


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= pair[0] < pair[1] <= 1:
        raise ValueError
    return pair


@one_line_errors
@dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, allow_inf_nan=False, extra="forbid"))
class Recipe:
    """Field names are the keys of the TOML file and the options of the command line. Any value out of range is an
    :class:`InputError` that names the field, what is expected and what was received."""

    name: Annotated[str, about("run", "Name of the recipe, and of its folder below runs/.")] = "custom"
    arm: Annotated[ArmName, about("run", "What learns, and what is poisoned: LEARNER-POISON.")] = "simclr-clean"
    seed: Annotated[int, about("run", "Decides initialisation, order, augmentation, split, plan and pattern.")] = 0
    data: Annotated[
        str, about("data", "Images: digits, cifar10, cifar100, stl10, svhn, fashion-mnist or imagefolder:PATH.")
    ] = "digits"
    image_size: Annotated[int, about("data", "Side of the square images, in pixels.", ge=8, le=1024)] = 16
    n_train: Annotated[int | None, about("data", "Number of training images; all by default.", ge=1)] = None
    n_test: Annotated[int | None, about("data", "Number of test images; all by default.", ge=1)] = None
    squeeze: Annotated[
        tuple[float, float],
        about("data", "Range that pixel values are squeezed into, so that blends neither saturate nor vanish."),
        AfterValidator(_rising),
        Expected("0 ≤ low < high ≤ 1"),
    ] = (0.0, 1.0)
    target: Annotated[int, about("poison", "The backdoor's class, by number.", ge=0), Expected("a class from 0 up")] = 0
    poison_fraction: Annotated[
        float,
        about("poison", "Share of the images of poison-base that are poisoned.", gt=0, le=1),
        Expected("a share in (0, 1] that gives a poison count from 1 to the class's size"),
    ] = 0.5
    poison_base: Annotated[
        Literal["target_class", "dataset"], about("poison", "What poison-fraction is a share of.")
    ] = "target_class"
    trigger: Annotated[
        Literal["blend", "patch", "spectral", "sinusoid", "warp"], about("poison", "Kind of trigger.")
    ] = "blend"
    strength: Annotated[
        float | None, about("poison", "Strength in the trigger's own unit; the trigger's own by default.")
    ] = None
    test_strength: Annotated[
        float | None, about("poison", "Strength at test time; the training strength by default.")
    ] = None
    trigger_size: Annotated[int, about("poison", "Side of a patch, in pixels.")] = 3
    trigger_place: Annotated[
        Literal["corner", "random"], about("poison", "Place of a patch; random is another place in each image.")
    ] = "corner"
    trigger_cells: Annotated[
        int | None,
        about("poison", "Cells on a side of a blended pattern (one a pixel by default), or points of a warp (4)."),
    ] = None
    trigger_band: Annotated[Literal["chroma", "luma"], about("poison", "Channels of a spectral trigger.")] = "chroma"
    poison_choice: Annotated[
        Literal["random", "first"], about("poison", "Which images are poisoned: drawn by the seed, or the first.")
    ] = "random"
    trigger_frequency: Annotated[
        int, about("poison", "Cycles of a sinusoid over an image, less than half of its side.", ge=1)
    ] = 6
    trigger_wave: Annotated[
        Literal["seed", "fixed"],
        about("poison", "Direction and phase of a sinusoid: drawn by the seed, or along the rows from phase 0."),
    ] = "seed"
    pair_share: Annotated[
        float,
        about("poison", "Share of a poison's appearances with a changed pair (dirty, no labels).", ge=0, le=1),
    ] = 1.0
    quantise: Annotated[
        bool, about("poison", "Round triggered training images to whole grey levels, as files on disk would be.")
    ] = True
    arch: Annotated[Literal["resnet8", "resnet18", "resnet20", "resnet56"], about("encoder", "Architecture.")] = (
        "resnet8"
    )
    width: Annotated[int, about("encoder", "Channels of the first layer.", ge=1, le=1024)] = 12
    normalise: Annotated[bool, about("encoder", "Map pixels from [0, 1] to [−2, 2] before the first layer.")] = True
    hidden: Annotated[int, about("objective", "Width of the hidden layer of the head or projector.", ge=1)] = 96
    projection: Annotated[int, about("objective", "Dimensions of the projector's output.", ge=1)] = 96
    temperature: Annotated[
        float, about("objective", "Temperature of a contrastive loss.", gt=0, lt=1e38), Expected("a positive float32")
    ] = 0.5
    head_norm: Annotated[bool, about("objective", "Use BatchNorm in SimCLR's projector.")] = True
    loss_scale: Annotated[
        float,
        about(
            "objective", "Factor of the loss for the gradient; the history shows the loss without it.", gt=0, lt=1e38
        ),
        Expected("a positive float32"),
    ] = 1.0
    ema: Annotated[
        float, about("objective", "Momentum of the slow copy of BYOL (at the start) and MoCo.", ge=0, lt=1)
    ] = 0.99
    queue: Annotated[int, about("objective", "Keys that MoCo compares with.", ge=1)] = 4096
    redundancy: Annotated[float, about("objective", "Weight λ of the off-diagonal terms of Barlow Twins.", ge=0)] = 5e-3
    crop: Annotated[float, about("augmentation", "Smallest area of the random crop; 1 turns it off.", gt=0, le=1)] = 0.2
    flip: Annotated[float, about("augmentation", "Probability of a mirror image.", ge=0, le=1)] = 0.5
    jitter: Annotated[
        float, about("augmentation", "Strength of the jitter of brightness, contrast and saturation.", ge=0, le=1)
    ] = 0.4
    hue: Annotated[
        float, about("augmentation", "Largest change of hue, in turns of the colour circle.", ge=0, le=1)
    ] = 0.1
    jitter_p: Annotated[float, about("augmentation", "Probability of the jitter, hue included.", ge=0, le=1)] = 0.8
    grayscale: Annotated[float, about("augmentation", "Probability that an image loses its colour.", ge=0, le=1)] = 0.2
    jitter_coin: Annotated[
        Literal["image", "batch"],
        about("augmentation", "What has a coin of its own for the jitter: each image, or a batch of views."),
    ] = "image"
    optimiser: Annotated[Literal["adam", "sgd"], about("optimisation", "Optimiser.")] = "adam"
    lr: Annotated[
        float, about("optimisation", "Highest learning rate.", gt=0, lt=1e38), Expected("a positive float32")
    ] = 2e-3
    momentum: Annotated[float, about("optimisation", "Momentum of sgd.", ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, about("optimisation", "Weight decay.", ge=0)] = 0.0
    warmup: Annotated[
        float,
        about("optimisation", "Share of the steps in which the learning rate rises, before it falls.", ge=0, lt=1),
    ] = 0.3
    schedule: Annotated[
        Literal["onecycle", "epochs"],
        about("optimisation", "Change the learning rate at every step, or at every epoch (the first at 0)."),
    ] = "onecycle"
    batch: Annotated[int, about("optimisation", "Images in a batch.", ge=2), Expected("at least 2 images")] = 128
    epochs: Annotated[int, about("optimisation", "Passes over the training images.", ge=1)] = 40
    attack_epochs: Annotated[
        int, about("optimisation", "Epochs of badencoder; epochs are those of the encoder it attacks.", ge=1)
    ] = 200
    attack_lr: Annotated[
        float, about("optimisation", "Learning rate of badencoder.", gt=0, lt=1e38), Expected("a positive float32")
    ] = 1e-3
    precision: Annotated[
        Literal["float32", "bf16", "fp16"],
        about("optimisation", "Precision of the training; the last two by autocast."),
    ] = "float32"
    compile: Annotated[bool, about("optimisation", "Run the encoder through torch.compile.")] = False
    sync_batchnorm: Annotated[
        bool, about("optimisation", "Under torchrun: BatchNorm over the whole batch, not over each process's part.")
    ] = False
    eval_every: Annotated[
        int, about("optimisation", "Epochs between two evaluations of ACC and ASR; the last is always evaluated.", ge=1)
    ] = 1

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: ArgsKwargs) -> ArgsKwargs:
        named = given.kwargs or {}
        return ArgsKwargs(given.args, {name: read_text(cls, name, value) for name, value in named.items()})

    def __post_init__(self) -> None:
        # What these check themselves, a trigger above all, is refused before any work is done.
        self.encoder_spec()
        self.augment()
        self.make_trigger()
        try:
            self.make_trigger(test=True)
        except InputError as error:
            raise InputError(f"test_{error}") from None  # the training strength has just passed

    def encoder_spec(self) -> "EncoderSpec":
        from ..representations.encoders import EncoderSpec

        spec = EncoderSpec(self.arch, self.width, self.image_size)
        return spec if self.normalise else dataclasses.replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def augment(self) -> "Augment":
        from .augment import Augment

        one_coin = self.jitter_coin == "batch"
        return Augment(self.crop, self.flip, self.jitter, self.hue, self.jitter_p, self.grayscale, one_coin)

    def make_trigger(self, *, test: bool = False) -> "Trigger":
        """The trigger at training or test strength, the same in every arm. Patterns of a patch, a blend, a warp and a
        sinusoid are functions of the seed (``trigger_wave``); CTRL's frequencies are the same in every seed."""
        from ..representations.seeds import derive_seed
        from .triggers import Blend, Patch, Sinusoid, Spectral, Warp

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
                wave = Sinusoid(self.image_size, frequency=self.trigger_frequency, **own)
                return wave if self.trigger_wave == "fixed" else wave.turned(seed)
            case "warp":
                control = 4 if self.trigger_cells is None else self.trigger_cells
                return Warp(self.image_size, seed, control=control, **own)
        return Spectral(self.image_size, band=self.trigger_band, **own)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Raises :class:`InputError` for an unknown field, naming the nearest one."""
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
