"""The encoder that training begins with, if not with a random one: a finished run's, or a foreign one from a file."""

import dataclasses
import hashlib
from pathlib import Path

import torch

from ..checkpoints.foreign import load_foreign
from ..checkpoints.shipped import resolve
from ..checkpoints.store import ENCODER, load_checkpoint
from ..representations.capture import evaluating
from ..representations.encoders import Encoder, build_encoder
from ..representations.errors import InputError
from .recipe import Recipe

__all__ = ["read_start"]


def read_start(start: Path | str, recipe: Recipe) -> tuple[Encoder, str]:
    """The encoder, in training mode, and the SHA-256 of its weights.

    Args:
        start: the folder of a finished run or ``zoo:NAME``, of the recipe's architecture, width and image
            size; or a foreign checkpoint of that architecture and width. Their normalisation of pixels is kept.

    Raises:
        InputError: the errors of :func:`load_checkpoint` and :func:`load_foreign`; an encoder that is not the recipe's.
    """
    wanted, path = recipe.encoder_spec(), resolve(start)
    if not path.is_file():
        if not path.exists():
            raise InputError(f"start: expected the folder of a run or a checkpoint file, received {str(start)!r}")
        checkpoint = load_checkpoint(path)
        spec = checkpoint.encoder.spec
        assert spec is not None  # of every run
        if dataclasses.replace(spec, mean=wanted.mean, std=wanted.std) != wanted:
            raise InputError(f"start: expected an encoder of {wanted}, received {spec}")
        return checkpoint.encoder.train(), str(checkpoint.manifest["files"][ENCODER])
    loaded = load_foreign(path)
    encoder = build_encoder(dataclasses.replace(wanted, mean=loaded.mean, std=loaded.std), seed=recipe.seed)
    other = f"start: expected an encoder of {wanted}, received {loaded.arch} with {loaded.dim} features"
    try:
        encoder.backbone.load_state_dict(loaded.encoder.backbone.state_dict())
    except RuntimeError:
        raise InputError(other) from None
    # Networks of the same weights may differ in their padding or in a ReLU.
    images = torch.rand(8, 3, wanted.image_size, wanted.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), evaluating(encoder):
        if not torch.allclose(encoder(images), loaded.encoder(images), rtol=1e-3, atol=1e-4):
            raise InputError(other)
    return encoder.train(), hashlib.sha256(path.read_bytes()).hexdigest()
