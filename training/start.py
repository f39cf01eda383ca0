"""The encoder that training begins with, if not with a random one: a finished run's, or a foreign one from a file."""

import dataclasses
import hashlib
from pathlib import Path

from ..checkpoints.foreign import load_foreign
from ..checkpoints.store import ENCODER, load_checkpoint
from ..representations.encoders import Encoder, build_encoder
from ..representations.errors import InputError
from .recipe import Recipe

__all__ = ["read_start"]


def read_start(start: Path | str, recipe: Recipe) -> tuple[Encoder, str]:
    """The encoder, in training mode, and the SHA-256 of its weights.

    Args:
        start: the folder of a finished run whose encoder has the recipe's spec; or a foreign checkpoint of the
            recipe's architecture, width and image size, whose normalisation of pixels is then kept.

    Raises:
        InputError: the errors of :func:`load_checkpoint` and :func:`load_foreign`; an encoder that is not the recipe's.
    """
    wanted, path = recipe.encoder_spec(), Path(start)
    if not path.is_file():
        checkpoint = load_checkpoint(path)
        if checkpoint.encoder.spec != wanted:
            raise InputError(f"start: expected an encoder of {wanted}, received {checkpoint.encoder.spec}")
        return checkpoint.encoder.train(), str(checkpoint.manifest["files"][ENCODER])
    loaded = load_foreign(path)
    encoder = build_encoder(dataclasses.replace(wanted, mean=loaded.mean, std=loaded.std), seed=recipe.seed)
    try:
        encoder.backbone.load_state_dict(loaded.encoder.backbone.state_dict())
    except RuntimeError:
        raise InputError(
            f"start: expected an encoder of {wanted}, received {loaded.arch} with {loaded.dim} features"
        ) from None
    return encoder.train(), hashlib.sha256(path.read_bytes()).hexdigest()
