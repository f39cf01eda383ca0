"""Erasure: remove a concept from features so that no linear probe finds it.

:mod:`.leace` and :mod:`.inlp` fit an :class:`Eraser`. :mod:`.erasure_cost` erases the trigger and measures ACC and ASR.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from ..representations.encoders import FEATURES, Encoder
from ..representations.errors import InputError

__all__ = ["Eraser", "erasing"]


@dataclass(frozen=True)
class Eraser:
    """An affine map x ↦ x − left · right · (x − centre) that removes ``rank`` directions; ``centre`` does not change.

    left ``(d, rank)``, right ``(rank, d)`` with right·left = 1, centre ``(d,)``; float64.
    """

    left: Tensor
    right: Tensor
    centre: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Erased features ``(…, d)``, of the type of x."""
        return (x.double() - self.removed(x)).to(x.dtype)

    def removed(self, x: Tensor) -> Tensor:
        """What is subtracted from x, float64 ``(…, d)``."""
        if x.shape[-1] != len(self.centre):
            raise InputError(f"x: expected (…, {len(self.centre)}), received {tuple(x.shape)}")
        left, right, centre = (t.to(x.device) for t in (self.left, self.right, self.centre))
        return (x.double() - centre) @ right.T @ left.T

    @property
    def rank(self) -> int:
        return self.left.shape[1]


@contextmanager
def erasing(encoder: Encoder, layer: str, eraser: Eraser) -> Iterator[None]:
    """Inside, the encoder's forward pass continues from ``layer`` with erased activations.

    The eraser acts on what :func:`..representations.capture.capture` returns for the layer. From a map ``(n, d, h, w)``
    the same vector is subtracted at every position: the mean over positions is the erased feature, and the pattern over
    positions does not change. The hook is removed on the way out.
    """
    if layer not in encoder.layers:
        raise InputError(f"layer: expected one of {', '.join(encoder.layers)}, received {layer}")

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        removed = eraser.removed(output.mean((2, 3)) if output.ndim == 4 else output).to(output.dtype)
        return output - removed.view(*removed.shape, *[1] * (output.ndim - 2))

    module = encoder if layer == FEATURES else encoder.backbone.get_submodule(encoder.layer_modules[layer])
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
