"""The cosine of two tasks' gradients, corrected for the noise of finite samples, from inner products alone.

Gradients are signed and come from disjoint blocks of different images; :mod:`.gradients` computes them.
(OrthogLinearBackdoor compares |gradients| of one clean batch, used eight times. Absolute values are aligned for any two
tasks, and the noise of a repeated batch counts as agreement.)
"""

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from ..representations.errors import InputError
from ..representations.seeds import generator
from .nulls import NO_INTERVAL, Interval

__all__ = ["Alignment", "StepEffect", "align", "off_diagonal_mean", "same_task", "step_effect"]


@dataclass(frozen=True)
class Alignment:
    """Cosine of two tasks' mean gradients, corrected for the noise of finite samples.

    ``value`` may be slightly outside [−1, 1]: it is not clamped, which would bias averages. ``naive`` is the plain
    cosine of the two mean gradients. ``norm_g``, ``norm_h``: corrected norms of the mean gradients, 0 where the
    estimate is negative.
    ``status`` is ``not_estimable`` where the interval of either reliability includes 0: that task's gradient does not
    differ from noise. It is so too where the interval of the cosine is unbounded. The interval is NaN then.
    """

    value: float
    interval: Interval
    naive: float
    norm_g: float
    norm_h: float
    status: str


def align(gram: Tensor, *, level: float = 0.95) -> Alignment:
    r"""Split-half corrected cosine from the inner products of block gradients.

    With gradients g_i (benign) and h_i (backdoor) of the blocks i, and sums over i ≠ j,

        C/S,  C = Σ g_i·h_j,  S = √(Σ g_i·g_j · Σ h_i·h_j).

    Such a sum is the mean over *all* splits in two disjoint halves of the products of one half with the other. It is
    unbiased: no term uses the same images twice. (The product of the two full means would include the noise that g and
    h share because they use the same images.)

    The interval is Fieller's (Suppl. J. R. Stat. Soc. 7, 1940): all θ for which C − θS does not differ from 0. It
    widens as S comes near to noise, at last without bound, where value ± error would be far too short. The root of a
    product of noisy sums is too small on average, by the share var(log Σ g_i·g_j − log Σ h_i·h_j)/8 to second order.
    The interval is that for S raised by this share, and includes the value. (Without it, intervals on planted learners
    of 200 images covered 88 % instead of 97 %, all misses on one side.) The covariance of C and S, to first order, is
    that of the delete-one-block jackknife without its excess: see :func:`_covariance`. The same error decides whether
    a *reliability*, Σ g_i·g_j or Σ h_i·h_j, differs from 0. ``benchmarks/gradients.py`` measures the coverage among
    rows that are "ok". Where noise leaves fewer than one row in twenty ok, these are lucky draws and coverage is less.

    >>> g = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, -0.2]]).double()
    >>> both = torch.cat([g, g])  # one task, given twice
    >>> a = align(both @ both.T)
    >>> round(a.value, 6), a.status
    (1.0, 'ok')

    Args:
        gram: ``(2B, 2B)`` float64, inner products of g_1 … g_B, h_1 … h_B, with B ≥ 4.
    """
    gg, gh, hh = _quarters(gram)
    t = float(stats.t.ppf((1 + level) / 2, len(gg) - 1))
    g, h, c = (float(off_diagonal_mean(m)) for m in (gg, hh, gh))
    reliable = all(m > t * math.sqrt(_covariance(k.unsqueeze(0)).item()) for m, k in ((g, gg), (h, hh)))
    value, interval = float("nan"), NO_INTERVAL
    if g > 0 and h > 0:
        # The two tasks' log sums differ by noise of this variance; for one task given twice, it is 0.
        apart = float(_covariance(torch.stack([gg / g, hh / h])).diff(dim=0).diff(dim=1))
        s = math.sqrt(g) * math.sqrt(h)
        covariance = _covariance(torch.stack([(gh + gh.T) / 2, (gg * (s / g) + hh * (s / h)) / 2]))
        value = c / s
        low, high = _fieller(c, s * (1 + max(0.0, apart) / 8), covariance, t)
        interval = min(low, value), max(high, value)
    ok = reliable and math.isfinite(interval[0])
    return Alignment(
        value,
        interval if ok else NO_INTERVAL,
        float(gh.sum() / (gg.sum() * hh.sum()).sqrt()),
        math.sqrt(max(g, 0.0)),
        math.sqrt(max(h, 0.0)),
        "ok" if ok else "not_estimable",
    )


@dataclass(frozen=True)
class StepEffect:
    """``value``: what one task gains for each unit that a small step of gradient descent on the other gains for itself.

    ``interval``: Fieller's, NaN where it is unbounded; ``status`` is then ``not_estimable``.
    """

    value: float
    interval: Interval
    status: str


def step_effect(gram: Tensor, *, level: float = 0.95) -> StepEffect:
    """To first order, the fall of the backdoor's loss for each unit by which a step on the benign loss lowers that.

    A step −ηg lowers the benign loss by η·g·g and the other by η·g·h. Their ratio Σ g_i·h_j/Σ g_i·g_j over i ≠ j is
    unbiased in both parts, like :func:`align`. For the reverse exchange the halves of the gram matrix.

    >>> g = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, -0.2]]).double()
    >>> both = torch.cat([g, 0.5 * g])
    >>> round(step_effect(both @ both.T).value, 6)
    0.5
    """
    gg, gh, _ = _quarters(gram)
    t = float(stats.t.ppf((1 + level) / 2, len(gg) - 1))
    c, g = float(off_diagonal_mean(gh)), float(off_diagonal_mean(gg))
    interval = _fieller(c, g, _covariance(torch.stack([(gh + gh.T) / 2, gg])), t) if g > 0 else NO_INTERVAL
    return StepEffect(c / g if g else math.nan, interval, "ok" if math.isfinite(interval[0]) else "not_estimable")


def _quarters(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    blocks = len(gram) // 2
    if gram.shape != (2 * blocks, 2 * blocks) or blocks < 4:
        raise InputError(f"gram: expected (2B, 2B) with B ≥ 4, received {tuple(gram.shape)}")
    if not bool(gram.isfinite().all()):
        raise InputError("gram: expected finite inner products, received NaN or infinity")
    return gram[:blocks, :blocks], gram[:blocks, blocks:], gram[blocks:, blocks:]


def off_diagonal_mean(m: Tensor) -> Tensor:
    """Mean of square matrices ``(…, B, B)`` off the diagonal."""
    blocks = m.shape[-1]
    return (m.sum((-2, -1)) - m.diagonal(dim1=-2, dim2=-1).sum(-1)) / (blocks * (blocks - 1))


def _covariance(kernels: Tensor) -> Tensor:
    """Covariance ``(k, k)`` of the means off the diagonal of symmetric matrices ``(k, B, B)``: U-statistics of order 2.

    Each entry is split into mean, effects of its two blocks, and a rest. The delete-one-block jackknife V_J = 4·cov
    (effects)/B counts the rest twice. The share of the rest is q = 2·cov(rest)/(B(B − 1)) (Efron and Stein, Ann. Stat.
    9, 1981). As in :func:`.nulls.jackknife_interval` the excess is subtracted in proportion to how degenerate the
    statistics look: V_J − 2·q·V_J⁻¹·q with q at most V_J/2. The full excess would make regular intervals too short.
    """
    blocks = kernels.shape[-1]
    off = 1 - torch.eye(blocks, dtype=kernels.dtype, device=kernels.device)
    mean = off_diagonal_mean(kernels)[:, None]
    effects = ((kernels * off).sum(-1) / (blocks - 1) - mean) * (blocks - 1) / (blocks - 2)
    rest = (kernels - mean[..., None] - effects[:, :, None] - effects[:, None, :]) * off
    jackknife = 4 * effects @ effects.T / (blocks * (blocks - 1))
    # The rest has B(B − 1)/2 entries minus the B degrees of freedom of mean and effects.
    rests = rest.flatten(1) @ rest.flatten(1).T / (blocks * (blocks - 3))
    share = 2 * rests / (blocks * (blocks - 1))
    size, axes = torch.linalg.eigh(jackknife)
    real = size > 1e-12 * size.max()  # one task given twice: C = S exactly, and no variance between them
    root, inverse = (axes * torch.where(real, size.clamp(min=0) ** p, 0.0) @ axes.T for p in (0.5, -0.5))
    ratio, directions = torch.linalg.eigh(inverse @ share @ inverse)
    return root @ (directions * (1 - 2 * ratio.clamp(0, 0.5) ** 2)) @ directions.T @ root


def _fieller(c: float, s: float, covariance: Tensor, t: float) -> Interval:
    """All θ with (c − θs)² ≤ t²·var(c − θs); NaN where they are unbounded: s does not differ from 0."""
    (cc, cs), (_, ss) = (t * t * covariance).tolist()
    square, cross, constant = s * s - ss, s * c - cs, c * c - cc
    if square <= 0:
        return NO_INTERVAL
    # Below 0 by rounding only: θ = c/s always belongs to the set.
    reach = math.sqrt(max(0.0, cross * cross - square * constant))
    return (cross - reach) / square, (cross + reach) / square


def same_task(gram: Tensor, *, draws: int = 200, level: float = 0.95, seed: int = 0) -> Alignment:
    """The alignment of one task with itself, by permutation: the upper end of the scale.

    In each block a coin decides which of the two gradients counts as benign, so that both sides have one mean.
    ``value`` (and ``naive``) is the ratio of the terms summed over all draws, 1 up to the coins. ``interval`` is the
    middle ``level`` of single draws: the range of a cosine of 1 under the same noise. If both losses are one task, the
    measured alignment is one more draw and is inside with probability ``level``. Both tasks are first scaled to one
    length, because the length of a gradient is independent of its direction.
    """
    gg, _, hh = _quarters(gram)
    blocks = len(gg)
    energy = torch.stack([gg.trace(), hh.trace()])
    if not bool((energy > 0).all()):
        nan = float("nan")
        return Alignment(nan, NO_INTERVAL, nan, nan, nan, "not_estimable")
    unit = energy.rsqrt().repeat_interleave(blocks)
    gram = gram * unit * unit[:, None]
    streams = [generator(seed, "same-task", draw) for draw in range(draws)]
    swap = torch.stack([torch.rand(blocks, generator=stream) < 0.5 for stream in streams])
    first = torch.where(swap, torch.arange(blocks) + blocks, torch.arange(blocks))
    second = (first + blocks) % (2 * blocks)
    cross, own, other = (
        off_diagonal_mean(gram[rows[:, :, None], columns[:, None, :]])
        for rows, columns in ((first, second), (first, first), (second, second))
    )
    finite = (cross / (own * other).sqrt())[(own > 0) & (other > 0)]
    ends = NO_INTERVAL
    if len(finite) > 1:
        # One more draw is below the k-th of m with probability k/(m + 1).
        tail = max(0.0, ((1 - level) / 2 * (len(finite) + 1) - 1) / (len(finite) - 1))
        low, high = finite.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        ends = (low, high)
    # Draws without a value are included in the sums: leaving them out would bias the ratio.
    cross, own, other = cross.sum(), own.sum(), other.sum()
    value = float(cross / (own * other).sqrt()) if own > 0 and other > 0 else float("nan")
    status = "ok" if len(finite) > draws / 2 else "not_estimable"
    return Alignment(value, ends, value, float("nan"), float("nan"), status)
