"""TracIn: the influence of training images on the loss of test images, with an optional random projection.

The loss of an image is the cross-entropy under a frozen head on the encoder's features, as in :mod:`.gradients`.
Gradients are those of the backbone's weights. The method is then the same for supervised arms and for contrastive arms,
which have no classifier. BN is in evaluation mode, so that the gradient of an image depends on no other image.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from ..representations.capture import evaluating
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .gradients import layer_weights

__all__ = ["Head", "influence", "self_influence"]

Head = Callable[[Tensor], Tensor]
"""``(features (m, d)) -> logits (m, classes)``, frozen."""

AT_ONCE = 16  # gradients in memory at once, of train and of test images: each is as large as the chosen weights


def influence(
    encoders: Sequence[Encoder],
    heads: Sequence[Head],
    train_images: Tensor,
    train_labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    *,
    rates: Sequence[float] | None = None,
    weights: Sequence[str] | None = None,
    projection: int | None = None,
    chunk: int = AT_ONCE,
    seed: int = 0,
) -> Tensor:
    r"""How far a step on each training image lowers the loss of each test image, to first order.

    TracInCP (Pruthi et al., NeurIPS 2020), summed over the snapshots of a training run:

        Σ_t η_t ∇ℓ(w_t, z)·∇ℓ(w_t, z').

    Real and signed: above 0 for proponents (the step helps), below 0 for opponents. It grows with the size of
    gradients, so do not compare it across encoders. A test image with a flat loss has influences near 0.

    ``projection`` hashes the gradients to that many numbers: each coordinate is added, with a random sign, to a random
    one of them (feature hashing: Weinberger et al., ICML 2009, with mean and variance). The estimate is unbiased. Its
    variance is (‖g‖²‖h‖² + (g·h)² − 2·Σg_i²h_i²)/projection a snapshot, so its sd is at most ‖g‖‖h‖·√(2/projection).
    Smaller influences are lost in it.

    Cost: a backward pass an image and snapshot. Without projection the passes over the training images are repeated for
    every ``chunk`` test images. Memory: that of 2·chunk gradients, and n_test × projection numbers.

    Args:
        encoders: snapshots of one run, of one architecture. heads: one for each.
        train_images, test_images: uint8 or float in [0, 1], ``(n, 3, H, W)``, with their trigger if they have one.
        train_labels, test_labels: int64 ``(n,)``: the label in training; for a triggered test image the target.
        rates: the learning rate at each snapshot; 1 by default.
        weights: names of the backbone's parameters; all of :func:`.gradients.layer_weights` by default. A weight
            without effect on the features counts as 0.

    Returns:
        float64 ``(n_test, n_train)``, on the CPU.

    >>> from intertwine.representations import EncoderSpec, build_encoder
    >>> encoder = build_encoder(EncoderSpec("resnet8", width=2, image_size=8))
    >>> head = nn.Linear(encoder.dim, 2)
    >>> images, labels = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 1])
    >>> scores = influence([encoder], [head], images, labels, images[:2], labels[:2])
    >>> scores.shape, bool(scores[0, 0] >= 0)
    (torch.Size([2, 3]), True)
    """
    rates = _checked(encoders, heads, rates, chunk)
    _check_images("train", train_images, train_labels)
    _check_images("test", test_images, test_labels)
    if projection is not None and (type(projection) is not int or projection < 1):
        raise InputError(f"projection: expected a whole number of at least 1, or None, received {projection!r}")
    total = torch.zeros(len(test_images), len(train_images), dtype=torch.float64)
    for t, (encoder, head, rate) in enumerate(zip(encoders, heads, rates, strict=True)):
        names = _chosen(encoder, weights)
        if projection is None:
            for rows, g in _gradients(encoder, head, test_images, test_labels, names, chunk):
                for columns, h in _gradients(encoder, head, train_images, train_labels, names, chunk):
                    # One parameter at a time: float64 copies of whole gradients would triple the memory.
                    products = sum(g[name].double() @ h[name].double().T for name in names)
                    total[rows, columns] += rate * torch.as_tensor(products).cpu()
        else:
            # A fresh sketch a snapshot: their errors average out.
            sketch = _Sketch(encoder, names, projection, seed, t)
            test = torch.cat([sketch(g) for _, g in _gradients(encoder, head, test_images, test_labels, names, chunk)])
            for columns, h in _gradients(encoder, head, train_images, train_labels, names, chunk):
                total[:, columns] += rate * (test @ sketch(h).T).cpu()
    return total


def self_influence(
    encoders: Sequence[Encoder],
    heads: Sequence[Head],
    images: Tensor,
    labels: Tensor,
    *,
    rates: Sequence[float] | None = None,
    weights: Sequence[str] | None = None,
    chunk: int = AT_ONCE,
) -> Tensor:
    """Influence of each image on itself, Σ_t η_t ‖∇ℓ(w_t, z)‖²: the diagonal of :func:`influence` in one pass.

    Range [0, ∞). High for images that the encoder must memorise: mislabelled ones and outliers (Pruthi et al., NeurIPS
    2020). Once the backdoor is learned a poison has a flat loss and a low score, so compute it along training.

    Args:
        As for :func:`influence`.

    Returns:
        float64 ``(n,)``, on the CPU.
    """
    rates = _checked(encoders, heads, rates, chunk)
    _check_images("", images, labels)
    total = torch.zeros(len(images), dtype=torch.float64)
    for encoder, head, rate in zip(encoders, heads, rates, strict=True):
        names = _chosen(encoder, weights)
        for rows, g in _gradients(encoder, head, images, labels, names, chunk):
            total[rows] += rate * torch.stack([g[name].double().square().sum(1) for name in names]).sum(0).cpu()
    return total


def _gradients(
    encoder: Encoder, head: Head, images: Tensor, labels: Tensor, names: Sequence[str], chunk: int
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Per-image gradients, ``chunk`` images at a time: their rows, and parameter → ``(m, size)``."""
    parameters = {f"backbone.{name}": encoder.backbone.get_parameter(name).detach() for name in names}
    device = encoder.mean.device
    classes = int(labels.max()) + 1

    def loss(chosen: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = head(functional_call(encoder, chosen, (image.unsqueeze(0),)))
        if logits.ndim != 2 or logits.shape[1] < classes:
            raise InputError(
                f"head: expected logits (n, classes) for labels up to {classes - 1}, received {tuple(logits.shape)}"
            )
        return cross_entropy(logits, label.unsqueeze(0))

    per_image = vmap(grad(loss), in_dims=(None, 0, 0))
    for start in range(0, len(images), chunk):
        where = slice(start, min(start + chunk, len(images)))
        # Modes are set for each chunk: between chunks the caller's encoder is as it was. Without no_grad the gradients
        # would keep the graph to all weights that require gradients.
        with ExitStack() as stack:
            for module in (encoder, head):
                if isinstance(module, nn.Module):
                    stack.enter_context(evaluating(module))
            stack.enter_context(torch.no_grad())
            found = per_image(parameters, images[where].to(device), labels[where].to(device))
        flat = {name: found[f"backbone.{name}"].flatten(1) for name in names}
        if not all(bool(g.isfinite().all()) for g in flat.values()):
            raise InputError("encoders: expected finite gradients, received NaN or infinity")
        yield where, flat


class _Sketch:
    """Gradients ``(m, size)`` of each parameter → float64 ``(m, dim)``: see :func:`influence`."""

    def __init__(self, encoder: Encoder, names: Sequence[str], dim: int, seed: int, snapshot: int) -> None:
        self.dim = dim
        self.places: dict[str, Tensor] = {}
        self.signs: dict[str, Tensor] = {}
        for name in names:
            stream = generator(seed, "influence", snapshot, name)
            size = encoder.backbone.get_parameter(name).numel()
            drawn = torch.randint(0, 2 * dim, (size,), generator=stream).to(encoder.mean.device)
            self.places[name], self.signs[name] = drawn // 2, (drawn % 2 * 2 - 1).to(torch.int8)

    def __call__(self, gradients: dict[str, Tensor]) -> Tensor:
        first = next(iter(gradients.values()))
        out = torch.zeros(self.dim, len(first), dtype=torch.float64, device=first.device)
        for name, g in gradients.items():
            out.index_add_(0, self.places[name], (g * self.signs[name]).T.double())
        return out.T


def _chosen(encoder: Encoder, weights: Sequence[str] | None) -> list[str]:
    if weights is None:
        weights = [name for names in layer_weights(encoder).values() for name in names]
    known = dict(encoder.backbone.named_parameters())
    if isinstance(weights, str) or not weights or (unknown := [name for name in weights if name not in known]):
        received = ", ".join(unknown) if weights and not isinstance(weights, str) else repr(weights)
        raise InputError(f"weights: expected names of the backbone's parameters, received {received}")
    return list(dict.fromkeys(weights))


def _checked(
    encoders: Sequence[Encoder], heads: Sequence[Head], rates: Sequence[float] | None, chunk: int
) -> list[float]:
    """The learning rates."""
    if len(encoders) == 0:
        raise InputError("encoders: expected at least one snapshot, received none")
    if len(heads) != len(encoders):
        raise InputError(f"heads: expected one for each of {len(encoders)} encoders, received {len(heads)}")
    found = [1.0] * len(encoders) if rates is None else [float(rate) for rate in rates]
    if len(found) != len(encoders) or not all(math.isfinite(rate) and rate > 0 for rate in found):
        raise InputError(f"rates: expected a positive number for each of {len(encoders)} encoders, received {rates}")
    if type(chunk) is not int or chunk < 1:
        raise InputError(f"chunk: expected at least 1 image, received {chunk!r}")
    return found


def _check_images(which: str, images: Tensor, labels: Tensor) -> None:
    prefix = f"{which}_" if which else ""
    if len(images) == 0:
        raise InputError(f"{prefix}images: expected at least one image, received none")
    if labels.shape != (len(images),) or labels.dtype != torch.int64 or int(labels.min()) < 0:
        received = f"{labels.dtype} {tuple(labels.shape)}" + (f", least {labels.min()}" if labels.numel() else "")
        raise InputError(f"{prefix}labels: expected classes from 0, int64 ({len(images)},), received {received}")
