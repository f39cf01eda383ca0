"""Interference (I): do the benign task and the backdoor ask the same of the weights?

The benign task weighs all classes equally, the target included. (Without the target class the benign gradient alone
lowers the target: a random network then reads −.4 to −.7.) Both tasks raise log-odds of the scores of a ridge probe.
These lie near [0, 1], so that log-odds are nearly linear in them, and what balanced classes have in common cancels: the
linear margins of one image sum to 0. With a logistic probe, or cross-entropy, it does not.

The backdoor's gradient h is that of sending triggered images to the target. Its part along h₀ is taken out: h₀ is the
gradient of sending the *clean* images of other classes there, which contradicts the benign task in any encoder. Under a
trigger that changes little, h is nearly h₀, and a benign twin would read far below zero. What is left is what the
trigger adds.

Over all weights, the gradients of each layer are first scaled to one length, for either task, and layers count by their
number of weights. So every weight counts alike, as in steps of Adam. Without this the first layer decides: it has few
weights, long gradients and few effective directions, in which two unrelated tasks agree or disagree by accident.

0: the tasks change different weights, or the same ones in unrelated ways. ±1: both change the same weights, with the
same sign or the opposite one. Random networks and benign twins read 0 within ± .15: see the tests.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .alignment import off_diagonal_mean
from .gradients import Loss, Task, alignment_grams

__all__ = [
    *(
        "balanced_weights",
        "benign_and_backdoor",
        "each_weight_alike",
        "interference_blocks",
        "interference_grams",
        "log_odds_loss",
    ),
    "without_clean_part",
]


def log_odds_loss(head: Callable[[Tensor], Tensor], labels: Tensor, weights: Tensor | None = None) -> Loss:
    """Minus the mean log-odds of the labels, log p_y/(1 − p_y), under a frozen head: scores ``(m, C)`` of features.

    Args:
        labels: columns of the head, int64 ``(n,)``: the true classes, or the target everywhere. weights: of the images,
            ``(n,)``, with mean 1; all equal by default.
    """
    if weights is not None and weights.shape != labels.shape:
        raise InputError(f"weights: expected shape {tuple(labels.shape)}, received {tuple(weights.shape)}")

    def loss(features: Tensor, index: Tensor) -> Tensor:
        scores, y = head(features), labels[index].to(features.device).unsqueeze(1)
        own = scores.gather(1, y).squeeze(1)
        rest = scores.scatter(1, y, float("-inf")).logsumexp(1)
        odds = own - rest
        return -(odds if weights is None else odds * weights[index].to(odds)).mean()

    return loss


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights ``(n,)`` with mean 1 under which every class present has the same sum.

    >>> balanced_weights(torch.tensor([0, 0, 0, 1])).tolist()
    [0.6666666865348816, 0.6666666865348816, 0.6666666865348816, 2.0]
    """
    _, codes, sizes = labels.unique(return_inverse=True, return_counts=True)
    return (len(labels) / len(sizes) / sizes)[codes]


def interference_blocks(
    labels: Tensor, target: int, *, blocks: int = 24, most: int = 768, seed: int = 0
) -> list[list[Tensor]]:
    """Disjoint images for the benign task, clean images of other classes, and triggered ones, each in ``blocks`` parts.

    A random third of the images serves each; classes are spread evenly over the parts. With too few images there are
    fewer parts, of at least 4 images each.

    Args:
        labels: int64 ``(n,)``. most: largest number of images in each third.

    Raises:
        InputError: too few images for four parts of each third.
    """
    if blocks < 4:
        raise InputError(f"blocks: expected at least 4, received {blocks}")
    order = torch.randperm(len(labels), generator=generator(seed, "interference", len(labels)))
    thirds = [third if i == 0 else third[labels[third] != target] for i, third in enumerate(order.tensor_split(3))]
    thirds = [third[:most] for third in thirds]
    blocks = min(blocks, *(len(third) // 4 for third in thirds))
    if blocks < 4:
        raise InputError(
            f"images: expected at least 16 for each task, received {', '.join(str(len(t)) for t in thirds)}"
        )
    by_class = [third[labels[third].argsort(stable=True)] for third in thirds]
    return [[third[i::blocks] for i in range(blocks)] for third in by_class]


def interference_grams(
    encoder: Encoder,
    head: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    target: int,
    triggers: Sequence[Callable[[Tensor], Tensor]],
    *,
    blocks: int = 24,
    most: int = 768,
    seed: int = 0,
) -> list[dict[str, Tensor]]:
    """Inner products of the gradients of three tasks in B blocks each, by trigger and layer.

    The tasks are the benign one (g), clean images of other classes to the target (h₀), and triggered ones (h).
    :func:`without_clean_part` and :func:`.alignment.align` compute interference from them.

    Args:
        head: frozen scores of features, ``(m, d)`` → ``(m, C)``; a ridge probe (see the module's docstring).
        images: uint8 ``(n, 3, H, W)``. labels, target: columns of the head.
        triggers: float batch in [0, 1] → triggered batch, one or several.

    Returns:
        For each trigger: layer (and :data:`.gradients.WHOLE`, their sum) → float64 ``(3B, 3B)``.
    """
    benign, clean, triggered = interference_blocks(labels, target, blocks=blocks, most=most, seed=seed)
    weights = torch.ones(len(labels))
    used = torch.cat(benign)
    weights[used] = balanced_weights(labels[used])
    to_target = log_odds_loss(head, torch.full_like(labels, target))
    fixed = Task(log_odds_loss(head, labels, weights), benign), Task(to_target, clean)
    others = [Task(to_target, triggered, trigger) for trigger in triggers]
    return alignment_grams(encoder, fixed, others, images)


def without_clean_part(gram: Tensor) -> Tensor:
    """Take the part along h₀ out of h: inner products of g and h − βh₀ from those of g, h₀ and h.

    β = Σ h_i·h₀_j/Σ h₀_i·h₀_j over i ≠ j is unbiased in both parts; 0 where clean images have no gradient.

    Args:
        gram: float64 ``(3B, 3B)``, inner products of B blocks each of g, h₀ and h.
    """
    b = len(gram) // 3
    own = off_diagonal_mean(gram[b : 2 * b, b : 2 * b])
    beta = off_diagonal_mean(gram[2 * b :, b : 2 * b]) / own if own > 0 else torch.zeros_like(own)
    eye = torch.eye(b, dtype=gram.dtype)
    mix = torch.cat([torch.cat([eye, 0 * eye, 0 * eye], 1), torch.cat([0 * eye, -beta * eye, eye], 1)])
    return mix @ gram @ mix.T


def benign_and_backdoor(gram: Tensor) -> Tensor:
    """The inner products of g and h alone, ``(2B, 2B)`` of ``(3B, 3B)``: for the effects of a step."""
    b = len(gram) // 3
    rows = torch.cat([torch.arange(b), torch.arange(2 * b, 3 * b)])
    return gram[rows][:, rows]


def each_weight_alike(grams: Mapping[str, Tensor], sizes: Mapping[str, int]) -> Tensor:
    """Inner products over all weights, with the gradients of each layer scaled to one length for either task.

    The length is that of the mean gradient, Σ g_i·g_j over i ≠ j. Layers count by their number of weights. Those in
    which a gradient does not differ from noise by its sign (the sum is not positive) are left out.

    Args:
        grams: layer → float64 ``(2B, 2B)``. sizes: layer → number of weights.

    Returns:
        float64 ``(2B, 2B)``, zeros if no layer is left.
    """
    total = torch.zeros_like(next(iter(grams.values())))
    for layer, gram in grams.items():
        b = len(gram) // 2
        own = torch.stack([off_diagonal_mean(gram[:b, :b]), off_diagonal_mean(gram[b:, b:])])
        if bool((own > 0).all()):
            scale = own.rsqrt().repeat_interleave(b)
            total += sizes[layer] / sum(sizes.values()) * gram * scale * scale[:, None]
    return total
