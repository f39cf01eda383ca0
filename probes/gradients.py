"""Gradients of tasks with respect to an encoder's weights, in blocks of images.

The loss of a task has a frozen head on the features, for example a ridge probe of clean features. It then exists for
every encoder, poisoned or not, and keeps a gradient where the task is solved. BN is in evaluation mode: the loss of an
image depends on no other image, and the gradient of a mean is the mean of gradients. :mod:`.interference` has the
losses of the benign task and of the backdoor, :func:`own_loss` gives the arm's own loss in the same form.
:func:`.alignment.align` compares the gradients.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..representations.capture import evaluating
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from ..training.objectives import SimCLR, SupCon, Supervised

__all__ = [
    "WHOLE",
    "Task",
    "alignment_grams",
    "block_gradients",
    "gradient_blocks",
    "gram_matrices",
    "layer_of",
    "layer_weights",
    "own_loss",
    "task_loss",
]

WHOLE = "all"
"""Layer name of the alignment over all weights."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""``(features (m, d), indices (m,)) -> scalar``: the mean over the images of a loss of single images."""


class Task(NamedTuple):
    """A loss on blocks of images, with a transformation of the float batch, for example a trigger."""

    loss: Loss
    blocks: Sequence[Tensor]
    transform: Callable[[Tensor], Tensor] | None = None


AT_ONCE = 32  # images in one backward pass: memory is that of their activations, for blocks of any size

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def layer_of(encoder: Encoder, module: str) -> str:
    """The layer that a submodule of the backbone belongs to: the one that contains it, or else the next one."""
    order = [name for name, _ in encoder.backbone.named_modules()]
    for layer, name in encoder.layer_modules.items():
        if module == name or module.startswith(f"{name}.") or order.index(module) < order.index(name):
            return layer
    return encoder.layers[-1]


def layer_weights(encoder: Encoder) -> dict[str, list[str]]:
    """Names of the backbone's weights of each layer: those inside its module, or between it and the layer before.

    Matrices and kernels only, without biases and the affine maps of normalisations. Weights after the last inner layer
    belong to ``"features"``. Layers without weights are left out.
    """
    groups: dict[str, list[str]] = {layer: [] for layer in encoder.layers}
    for name, parameter in encoder.backbone.named_parameters():
        module = name.rpartition(".")[0]
        if parameter.ndim >= 2 and not isinstance(encoder.backbone.get_submodule(module), NORMALISATIONS):
            groups[layer_of(encoder, module)].append(name)
    return {layer: names for layer, names in groups.items() if names}


def gradient_blocks(n: int, *, blocks: int = 24, most: int | None = None, seed: int = 0) -> list[Tensor]:
    """Random disjoint blocks of nearly equal size of n images, each of at least 4 images.

    Args:
        most: the largest number of images, drawn at random; all by default.
    """
    if blocks < 4:
        raise InputError(f"blocks: expected at least 4, received {blocks}")
    if most is not None and most < 16:
        raise InputError(f"most: expected at least 16 images for gradient alignment, received {most}")
    used = n if most is None else min(n, most)
    blocks = min(blocks, used // 4)
    if blocks < 4:
        raise InputError(f"images: expected at least 16 for gradient alignment, received {n}")
    return list(torch.randperm(n, generator=generator(seed, "gradient-blocks", n))[:used].tensor_split(blocks))


def block_gradients(
    encoder: Encoder,
    loss: Loss,
    blocks: Sequence[Tensor],
    images: Tensor,
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
    weights: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Tensor]:
    """Gradient of the mean loss of each block with respect to the weights of each layer: layer → float32 ``(B, p)``.

    Args:
        loss: see :data:`Loss`; its indices are into ``images``, on the CPU.
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``; or ``(n, V, 3, H, W)`` for V views of each image. The loss
            then gets features ``(m·V, d)``, with the views of an image in consecutive rows.
        transform: applied to the float batch, for example a trigger.
        weights: layer → names of the backbone's parameters; :func:`layer_weights` by default.
    """
    groups = layer_weights(encoder) if weights is None else weights
    parameters = dict(encoder.backbone.named_parameters())
    chosen = [parameters[name] for names in groups.values() for name in names]
    sizes = {layer: sum(parameters[name].numel() for name in names) for layer, names in groups.items()}
    rows = {layer: torch.zeros(len(blocks), size, device=encoder.mean.device) for layer, size in sizes.items()}
    with evaluating(encoder), _only_these_learn(encoder, chosen):
        for row, block in enumerate(blocks):
            for index in block.split(AT_ONCE):
                x = images[index].to(encoder.mean.device)
                x = x.float() / 255 if x.dtype == torch.uint8 else x
                x = x.flatten(0, 1) if x.ndim == 5 else x
                value = loss(encoder(transform(x) if transform else x), index) * (len(index) / len(block))
                # A weight without effect on the features (a foreign model's head) has gradient zero.
                found = iter(torch.autograd.grad(value, chosen, allow_unused=True))
                for layer, names in groups.items():
                    place = 0
                    for name in names:
                        g, size = next(found), parameters[name].numel()
                        if g is not None:
                            rows[layer][row, place : place + size] += g.flatten()
                        place += size
    return rows


@contextmanager
def _only_these_learn(encoder: Encoder, chosen: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, only ``chosen`` get gradients: a backward pass ends at the first of them."""
    wanted = [(p, p.requires_grad) for p in encoder.parameters()]
    try:
        for p, _ in wanted:
            p.requires_grad_(False)
        for p in chosen:
            p.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for p, was in wanted:
            p.requires_grad_(was)


def gram_matrices(g: Mapping[str, Tensor], h: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inner products for :func:`.alignment.align`, float64 ``(2B, 2B)``.

    One matrix for each layer and, under :data:`WHOLE`, one for all weights.
    """
    grams = {layer: _gram(g[layer], h[layer]) for layer in g}
    return grams | {WHOLE: torch.stack(list(grams.values())).sum(0)}


def _gram(*gradients: Tensor) -> Tensor:
    rows = sum(map(len, gradients))
    gram = torch.zeros(rows, rows, dtype=torch.float64)
    # In pieces: a float64 copy of all gradients of a large layer would not fit.
    for pieces in zip(*(g.split(1 << 16, dim=1) for g in gradients), strict=True):
        stacked = torch.cat(pieces).double()
        gram += (stacked @ stacked.T).cpu()
    return gram


def alignment_grams(
    encoder: Encoder,
    fixed: Sequence[Task],
    others: Sequence[Task],
    images: Tensor,
    *,
    memory: int = 2_500_000_000,
) -> list[dict[str, Tensor]]:
    """Inner products of the block gradients of the tasks ``fixed`` and one of ``others``, in bounded memory.

    Gradients are stored for as many weights at a time as fit into ``memory`` bytes. The passes over the images are
    repeated for the next weights. A repeated pass costs a forward pass, and a backward pass down to its weights. With a
    quarter of the memory a ResNet-18 needs five passes and about twice the time. The gradients of ``fixed`` serve all
    others, for example one backdoor under several triggers. Memory does not depend on the number of images.

    Args:
        fixed, others: each with the same number B of blocks. images: as in :func:`block_gradients`.

    Returns:
        For each of ``others``: layer (and :data:`WHOLE`) → float64 ``(kB, kB)``, k the number of ``fixed`` plus 1, the
        other task last.
    """
    sizes = {len(task.blocks) for task in (*fixed, *others)}
    if len(sizes) != 1:
        raise InputError(f"blocks: expected the same number for all tasks, received {sorted(sizes)}")
    rows = (len(fixed) + 1) * sizes.pop()
    layers = layer_weights(encoder)
    grams = [{layer: torch.zeros(rows, rows, dtype=torch.float64) for layer in layers} for _ in others]
    for part in _parts(encoder, layers, memory // (4 * rows)):  # in float32
        kept = [block_gradients(encoder, *task[:2], images, transform=task.transform, weights=part) for task in fixed]
        for found, task in zip(grams, others, strict=True):
            last = block_gradients(encoder, *task[:2], images, transform=task.transform, weights=part)
            for layer in part:
                found[layer] += _gram(*(g[layer] for g in kept), last[layer])
            del last  # before the next task's are computed
        del kept
    return [found | {WHOLE: torch.stack(list(found.values())).sum(0)} if found else {} for found in grams]


def _parts(encoder: Encoder, layers: Mapping[str, Sequence[str]], most: int) -> list[dict[str, list[str]]]:
    """Weights in consecutive parts of at most ``most`` numbers, or of one parameter if it has more."""
    parts: list[dict[str, list[str]]] = []
    room = 0
    for layer, names in layers.items():
        for name in names:
            size = encoder.backbone.get_parameter(name).numel()
            if size > room:
                parts.append({})
                room = most
            parts[-1].setdefault(layer, []).append(name)
            room -= size
    return parts


def task_loss(head: Callable[[Tensor], Tensor], labels: Tensor) -> Loss:
    """Cross-entropy under a frozen head; ``labels`` int64 ``(n,)``: the true classes, or the target everywhere."""

    def loss(features: Tensor, index: Tensor) -> Tensor:
        return cross_entropy(head(features), labels[index].to(features.device))

    return loss


def own_loss(
    objective: Supervised | SimCLR | SupCon,
    labels: Tensor,
    *,
    bank: Tensor | None = None,
    bank_labels: Tensor | None = None,
) -> Loss:
    """The arm's own loss for the views of each image, with its head frozen and in evaluation mode.

    Where the loss compares images, the others are a frozen ``bank``. The loss of an image then depends on no other
    image, and both its versions, with and without the trigger, have the same negatives. With the other images of a
    batch as the bank it is that batch's ``nt_xent`` or ``supcon_loss``. Draw the views of both versions from one
    stream, trigger first::

        views = torch.stack([augment(trigger(x), generator(seed, "own-loss", v)) for v in (0, 1)], 1)

    Args:
        labels: int64 ``(n,)``, the labels that the arm learns for these images: for triggered ones those of the
            poisons. SimCLR ignores them.
        bank: features ``(K, d)`` of views of other images. All are negatives, or for SupCon positives where labels
            agree. bank_labels: int64 ``(K,)``, for SupCon.

    Returns:
        A loss of features ``(m·V, d)``, with the views of an image in consecutive rows. V = 2, or any number for a
        classifier.
    """
    if isinstance(objective, Supervised):

        def loss(features: Tensor, index: Tensor) -> Tensor:
            with evaluating(objective):
                return cross_entropy(objective.head(features), _each_view(labels, features, index))

        return loss
    if bank is None or bank.ndim != 2 or len(bank) == 0:
        raise InputError(
            f"bank: expected features (K, d) of other images, received {None if bank is None else tuple(bank.shape)}"
        )
    if isinstance(objective, SupCon) and (bank_labels is None or bank_labels.shape != (len(bank),)):
        raise InputError(f"bank_labels: expected int64 ({len(bank)},) for SupCon, received {bank_labels}")
    with evaluating(objective), torch.no_grad():
        others = normalize(objective.projector(bank), dim=1)

    def contrastive(features: Tensor, index: Tensor) -> Tensor:
        if len(features) != 2 * len(index):
            raise InputError(f"features: expected 2 views of {len(index)} images, received {len(features)} rows")
        with evaluating(objective):
            z = normalize(objective.projector(features), dim=1)
        partner = z.view(-1, 2, z.shape[1]).flip(1).flatten(0, 1)
        similarity = torch.cat([(z * partner).sum(1, keepdim=True), z @ others.T], 1)
        log_p = (similarity / objective.temperature).log_softmax(1)
        if isinstance(objective, SimCLR):
            return -log_p[:, 0].mean()
        assert bank_labels is not None  # checked above
        alike = _each_view(labels, features, index)[:, None] == bank_labels.to(features.device)
        positive = torch.cat([torch.ones_like(alike[:, :1]), alike], 1).to(log_p)
        return -((log_p * positive).sum(1) / positive.sum(1)).mean()

    return contrastive


def _each_view(labels: Tensor, features: Tensor, index: Tensor) -> Tensor:
    return labels[index].repeat_interleave(len(features) // len(index)).to(features.device)
