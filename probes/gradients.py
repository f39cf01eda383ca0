"""Do the benign task and the backdoor pull an encoder's weights the same way?

L_ben = CE(W f(x), y) and L_bd = CE(W f(x⊕r), t) on the same held-out images x of other classes than t; W is a ridge
head on frozen clean features, so that both losses exist for every encoder, poisoned or not, and neither goes flat where
its task is solved. BN is in evaluation mode: the loss of an image is then its own, and the gradient of a mean is the
mean of gradients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..representations.capture import evaluating
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .nulls import NO_INTERVAL, Interval

__all__ = [
    "WHOLE",
    "Alignment",
    "align",
    "block_gradients",
    "gradient_blocks",
    "gram_matrices",
    "layer_weights",
    "same_task",
    "task_loss",
]

WHOLE = "all"
"""Layer name of the alignment over all weights."""


NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Alignment:
    """Cosine of two tasks' mean gradients, corrected for the noise of finite samples.

    ``value`` may leave [−1, 1] a little: it is not clamped, which would bias averages. ``naive`` is the plain cosine
    of the two mean gradients. ``norm_g``, ``norm_h``: corrected norms of the mean gradients (0 where the estimate is
    negative).
    ``status`` is ``not_estimable`` where the interval of either reliability holds 0: that task's gradient is not told
        from noise.
    """

    value: float
    interval: Interval
    naive: float
    norm_g: float
    norm_h: float
    status: str


def align(gram: Tensor, *, level: float = 0.95) -> Alignment:
    r"""Split-half corrected cosine from the inner products of block gradients.

    With blocks of images i, gradients g_i (benign) and h_i (backdoor), and sums over i ≠ j, which are the mean over
    *all* splits in two disjoint halves of the products of one half with the other,

        Σ g_i·h_j / √(Σ g_i·g_j · Σ h_i·h_j).

    Each factor is unbiased: no term holds the same images twice. (Multiplying the two full means instead would count
    the noise that g and h share because they see the same images.) The interval is the delete-one-block jackknife.

    Args:
        gram: ``(2B, 2B)`` float64, inner products of g_1 … g_B, h_1 … h_B, with B ≥ 4.
    """
    blocks = len(gram) // 2
    if gram.shape != (2 * blocks, 2 * blocks) or blocks < 4:
        raise InputError(f"gram: expected (2B, 2B) with B ≥ 4, received {tuple(gram.shape)}")
    gg, gh, hh = gram[:blocks, :blocks], gram[:blocks, blocks:], gram[blocks:, blocks:]

    def reach(all_blocks: Tensor, without: Tensor) -> Tensor:
        pseudo = blocks * all_blocks - (blocks - 1) * without
        return float(stats.t.ppf((1 + level) / 2, blocks - 1)) * pseudo.std() / blocks**0.5

    (g, g_i), (h, h_i), (c, c_i) = _off_diagonal(gg), _off_diagonal(hh), _off_diagonal(gh)
    reliable = bool(g - reach(g, g_i) > 0) and bool(h - reach(h, h_i) > 0)
    value, interval = float("nan"), NO_INTERVAL
    if g * h > 0 and g > 0:
        value = float(c / (g * h).sqrt())
        if bool((g_i > 0).all()) and bool((h_i > 0).all()):
            half = float(reach(c / (g * h).sqrt(), c_i / (g_i * h_i).sqrt()))
            interval = (value - half, value + half)
    naive = gh.sum() / (gg.sum() * hh.sum()).sqrt()
    return Alignment(
        value,
        interval,
        float(naive),
        float(g.clamp(min=0).sqrt()),
        float(h.clamp(min=0).sqrt()),
        "ok" if reliable else "not_estimable",
    )


def _off_diagonal(m: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a square matrix off the diagonal: of all blocks, and with each block left out."""
    blocks, own = len(m), m.diagonal()
    total = m.sum() - own.sum()
    without = total - (m.sum(0) + m.sum(1) - 2 * own)
    return total / (blocks * (blocks - 1)), without / ((blocks - 1) * (blocks - 2))


def same_task(gram: Tensor, *, draws: int = 200, level: float = 0.95, seed: int = 0) -> Alignment:
    """The end of the scale where both losses are one task, by permutation: in each block a coin decides which of the
    two gradients counts as benign, so that both sides have one mean.

    ``value`` (and ``naive``) is the ratio of the terms summed over all draws, 1 up to the coins; ``interval`` holds the
    middle ``level`` of single draws: what a cosine of 1 would look like through as much noise.
    """
    blocks = len(gram) // 2
    values, sums = [], torch.zeros(3, dtype=torch.float64)
    for draw in range(draws):
        swap = torch.rand(blocks, generator=generator(seed, "same-task", draw)) < 0.5
        first = torch.where(swap, torch.arange(blocks) + blocks, torch.arange(blocks))
        second = (first + blocks) % (2 * blocks)
        pairs = ((first, second), (first, first), (second, second))
        terms = torch.stack([_off_diagonal(gram[rows][:, columns])[0] for rows, columns in pairs])
        values.append(float(terms[0] / (terms[1] * terms[2]).sqrt()) if terms[1:].min() > 0 else float("nan"))
        sums += terms  # also where a draw has no value: leaving those out would bias the ratio
    finite = torch.tensor(values, dtype=torch.float64)
    finite = finite[finite.isfinite()]
    tail = (1 - level) / 2
    ends = finite.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist() if len(finite) else NO_INTERVAL
    value = float(sums[0] / (sums[1] * sums[2]).sqrt()) if sums[1:].min() > 0 else float("nan")
    status = "ok" if len(finite) > draws / 2 else "not_estimable"
    return Alignment(value, (ends[0], ends[1]), value, float("nan"), float("nan"), status)


def layer_weights(encoder: Encoder) -> dict[str, list[str]]:
    """Names of the backbone's weights under each tap: those inside the tapped module, or before it and after the tap
    above.

    Matrices and kernels only: no biases, no affine of a normalisation. Weights after the last inner tap belong to
    ``"features"``. Layers without weights are left out.
    """
    taps = list(encoder.taps.items())
    order = [name for name, _ in encoder.backbone.named_modules()]
    groups: dict[str, list[str]] = {layer: [] for layer in encoder.layers}
    for name, parameter in encoder.backbone.named_parameters():
        module = name.rpartition(".")[0]
        if parameter.ndim < 2 or isinstance(encoder.backbone.get_submodule(module), NORMALISATIONS):
            continue
        for layer, tapped in taps:
            if module == tapped or module.startswith(f"{tapped}.") or order.index(module) < order.index(tapped):
                groups[layer].append(name)
                break
        else:
            groups[encoder.layers[-1]].append(name)
    return {layer: names for layer, names in groups.items() if names}


def gradient_blocks(n: int, *, blocks: int = 24, seed: int = 0) -> list[Tensor]:
    """Random disjoint blocks of nearly equal size of n images, each of at least 4 images."""
    if blocks < 4:
        raise InputError(f"blocks: expected at least 4, received {blocks}")
    blocks = min(blocks, n // 4)
    if blocks < 4:
        raise InputError(f"images: expected at least 16 for gradient alignment, received {n}")
    return list(torch.randperm(n, generator=generator(seed, "gradient-blocks", n)).tensor_split(blocks))


def block_gradients(
    encoder: Encoder,
    loss: Callable[[Tensor, Tensor], Tensor],
    blocks: Sequence[Tensor],
    images: Tensor,
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Gradient of the mean loss of each block with respect to the weights of each layer: layer → float32 ``(B, p)``.

    Args:
        loss: ``(features, indices) -> scalar``, indices into ``images`` on the CPU.
        images: uint8 or float in [0, 1], ``(n, 3, H, W)``. transform: applied to the float batch (a trigger, say).
    """
    groups = layer_weights(encoder)
    parameters = dict(encoder.backbone.named_parameters())
    chosen = [parameters[name] for names in groups.values() for name in names]
    wanted = [p.requires_grad for p in chosen]
    rows: dict[str, list[Tensor]] = {layer: [] for layer in groups}
    try:
        for p in chosen:
            p.requires_grad_(True)
        with evaluating(encoder), torch.enable_grad():
            for index in blocks:
                x = images[index].to(encoder.mean.device)
                x = x.float() / 255 if x.dtype == torch.uint8 else x
                features = encoder(transform(x) if transform else x)
                # A weight that the features do not pass through (a foreign model's head) has gradient zero.
                found = torch.autograd.grad(loss(features, index), chosen, allow_unused=True)
                gradients = (torch.zeros_like(p) if g is None else g for p, g in zip(chosen, found, strict=True))
                for layer, names in groups.items():
                    rows[layer].append(torch.cat([next(gradients).flatten() for _ in names]))
    finally:
        for p, was in zip(chosen, wanted, strict=True):
            p.requires_grad_(was)
    return {layer: torch.stack(gradients) for layer, gradients in rows.items()}


def gram_matrices(g: Mapping[str, Tensor], h: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inner products that :func:`align` needs, for each layer and, under :data:`WHOLE`, for all weights: ``(2B, 2B)``
    float64."""
    grams = {}
    for layer in g:
        gram = torch.zeros(2 * len(g[layer]), 2 * len(g[layer]), dtype=torch.float64)
        # In pieces: a float64 copy of all gradients of a large layer would not fit.
        for g_piece, h_piece in zip(g[layer].split(1 << 18, dim=1), h[layer].split(1 << 18, dim=1), strict=True):
            stacked = torch.cat([g_piece, h_piece]).double()
            gram += (stacked @ stacked.T).cpu()
        grams[layer] = gram
    return grams | {WHOLE: torch.stack(list(grams.values())).sum(0)}


def task_loss(head: Callable[[Tensor], Tensor], labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy under a frozen head; ``labels`` int64 ``(n,)``: the true classes, or the target everywhere."""

    def loss(features: Tensor, index: Tensor) -> Tensor:
        return cross_entropy(head(features), labels[index].to(features.device))

    return loss
