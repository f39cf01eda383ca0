"""CKA of all layer pairs of two encoders, straight from images."""

from collections.abc import Callable, Sequence
from contextlib import closing

from torch import Tensor

from ..capture import capture_batches, evaluating
from ..encoders import Encoder
from .minibatch import MinibatchCKA
from .streaming import CKAMatrix, CKAPairs

__all__ = ["cka_layers"]


def cka_layers(
    encoder_x: Encoder,
    encoder_y: Encoder,
    images: Tensor,
    *,
    layers_x: Sequence[str] | None = None,
    layers_y: Sequence[str] | None = None,
    transform_x: Callable[[Tensor], Tensor] | None = None,
    transform_y: Callable[[Tensor], Tensor] | None = None,
    debiased: bool = True,
    minibatch: bool = False,
    batch_size: int = 500,
) -> CKAMatrix:
    """Linear CKA of every layer of one encoder with every layer of another, in one pass over the images.

    Activations are averaged over positions, as in ``capture``. Only sums are stored: memory does not grow with the
    number of images (see ``CKAPairs``). The two encoders may be the same, with a trigger as one transform.

    Args:
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``, n ≥ 4.
        layers_x, layers_y: names of layers; all by default.
        transform_x, transform_y: applied to the float batch in [0, 1] before each encoder.
        debiased: as in ``cka``.
        minibatch: compute the estimate of ``MinibatchCKA``, always debiased, for comparison with published numbers.

    >>> import torch
    >>> from intertwine.representations import EncoderSpec, build_encoder
    >>> encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=8))
    >>> images = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    >>> result = cka_layers(encoder, encoder, images, layers_y=["stem", "features"])
    >>> result.layers_y, tuple(result.values.shape), round(float(result.values[0, 0]), 6)
    (('stem', 'features'), (5, 2), 1.0)
    """
    pairs = MinibatchCKA() if minibatch else CKAPairs(debiased=debiased)
    # Set evaluation mode around both: encoders that share modules would otherwise restore each other's modes.
    with (
        evaluating(encoder_x),
        evaluating(encoder_y),
        closing(
            capture_batches(encoder_x, images, layers=layers_x, transform=transform_x, batch_size=batch_size)
        ) as xs,
        closing(
            capture_batches(encoder_y, images, layers=layers_y, transform=transform_y, batch_size=batch_size)
        ) as ys,
    ):
        for x, y in zip(xs, ys, strict=True):
            pairs.update(x, y)
    return pairs.compute()
