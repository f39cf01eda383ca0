"""A foreign encoder, converted: its weights as safetensors, and a description of how to use them.

    encoder.safetensors   encoder.json

``encoder.json`` is written last and has the SHA-256 of the weights. A folder without one is not finished.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from .files import read_json, sha256, sha256_of_file, write_all
from .foreign import Loaded, load_foreign
from .shipped import resolve
from .store import ENCODER, is_finished, load_checkpoint

__all__ = ["ABOUT", "convert", "is_converted", "load_any", "load_encoder"]

ABOUT = "encoder.json"
FORMAT = 1
KEYS = {"format": int, "arch": str, "mean": list, "std": list, "image_size": int, "tokens": str, "sha256": str}
LATER = {"resize": int}
"""Keys that older folders lack."""


def convert(path: Path | str, out: Path, **foreign: Any) -> tuple[Loaded, list[Path]]:
    """Read a foreign checkpoint (arguments of :func:`.load_foreign`) and write it into ``out``.

    Raises:
        InputError: ``out`` has a checkpoint already; the errors of :func:`.load_foreign`.
    """
    if is_finished(out) or is_converted(out) or (out / ENCODER).exists():
        raise InputError(f"out: expected a folder without a checkpoint, received {out}")
    loaded = load_foreign(path, **foreign)
    backbone = loaded.encoder.backbone[1] if loaded.resize else loaded.encoder.backbone  # type: ignore[index]
    weights = safetensors.torch.save({name: x.contiguous() for name, x in backbone.state_dict().items()})
    about = {
        **{"format": FORMAT, "arch": loaded.arch, "mean": loaded.mean, "std": loaded.std},
        **{"image_size": loaded.image_size, "resize": loaded.resize, "tokens": loaded.encoder.tokens},
        "sha256": sha256(weights),
        "from": {"format": loaded.format, "file": Path(path).name, "sha256": sha256_of_file(Path(path))},
    }
    write_all({out / ENCODER: weights, out / ABOUT: json.dumps(about, indent=1).encode()})
    return loaded, [out / ENCODER, out / ABOUT]


def is_converted(folder: Path) -> bool:
    """Whether :func:`convert` wrote a folder."""
    return (folder / ABOUT).is_file()


def load_encoder(path: Path | str, **foreign: Any) -> Encoder:
    """Load an encoder in evaluation mode.

    ``path``: a run, ``"zoo:NAME"``, a folder of :func:`convert`, or a foreign checkpoint. ``foreign``: arguments of
    :func:`.load_foreign`, for example ``arch="resnet50"``.
    """
    path = resolve(path)
    if is_finished(path):
        return load_checkpoint(path).encoder.eval()
    return load_any(path, **foreign).encoder


def load_any(path: Path | str, **foreign: Any) -> Loaded:
    """Load a foreign checkpoint or a converted one. ``foreign`` overrides the description in the folder."""
    folder = Path(path)
    if not is_converted(folder):
        return load_foreign(path, **foreign)
    about = _about(folder / ABOUT)
    if sha256_of_file(folder / ENCODER) != about["sha256"]:
        raise InputError(f"checkpoint: {folder / ENCODER} is corrupted: its SHA-256 differs from that in {ABOUT}")
    options = {key: about[key] for key in ("arch", "image_size", "tokens")} | {"resize": about.get("resize") or None}
    options |= {key: tuple(about[key]) for key in ("mean", "std")}
    loaded = load_foreign(folder / ENCODER, **options | {k: v for k, v in foreign.items() if v is not None})
    return replace(loaded, format="converted")


def _about(path: Path) -> dict[str, Any]:
    about = read_json(path, FORMAT)
    for key, kind in (KEYS | {k: v for k, v in LATER.items() if k in about}).items():
        value = about.get(key)
        given = value if type(value) is list else []
        numbers = kind is not list or (len(given) == 3 and all(type(v) in (int, float) for v in given))
        if type(value) is not kind or not numbers:
            raise InputError(f"checkpoint: {path}: expected {key} as {kind.__name__}, received {value!r}")
    if not re.fullmatch(r"[0-9a-f]{64}", about["sha256"]):
        raise InputError(f"checkpoint: {path}: expected a SHA-256, received {about['sha256']!r}")
    return about
