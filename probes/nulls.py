"""Intervals and nulls that are valid for pairwise and neighbour statistics.

No function resamples points with replacement: duplicates would be neighbours at distance zero and raise every
similarity. (For independent data with d = 96 and n = 39, debiased CKA is −.005 and its bootstrap mean .70.)
"""

import math
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor

from ..representations.errors import InputError
from ..representations.seeds import generator

__all__ = [
    "NO_INTERVAL",
    "Interval",
    "jackknife_interval",
    "mean_interval",
    "paired_interval",
    "rate_interval",
    "resampled_interval",
    "swap_within_pairs",
    "t_interval",
]

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))


def mean_interval(
    scores: Tensor,
    *,
    weights: Tensor | None = None,
    low: float = 0.0,
    high: float = 1.0,
    level: float = 0.95,
    folds: int | None = None,
) -> Interval:
    """Interval of the (weighted) mean of scores in [low, high], one a query: accuracies, placements, shares.

    "Plus four": two scores at each end of the range are added before the normal interval is computed (Agresti and
    Coull, Am. Stat. 52, 1998, for scores of 0 or 1). The interval then has a width when all scores are equal: sixty
    zeros do not prove a rate of zero. Fewer are added for scores with less variance than scores of 0 and 1 with the
    same mean: four times their share of that variance, at least .16. More would dominate concentrated scores. The
    interval is cut to [low, high]. NaN scores are left out.

    Args:
        folds: the number of folds K, for scores of a cross-validation. Probes of different folds share training images,
            so that scores of different images are not independent. The variance is raised by the factor
            1 + ½·K/(K − 1). (Nadeau and Bengio, Mach. Learn. 52, 2003, have 1 + K/(K − 1) for the variance between
            folds. The variance between images includes that of a single prediction: with their factor intervals covered
            99 %.)
    """
    known = ~scores.isnan()
    scores = scores[known].double()
    if len(scores) == 0:
        return NO_INTERVAL
    w = torch.ones_like(scores) if weights is None else weights[known].double()
    size = float(w.sum() ** 2 / w.square().sum())  # of equally weighted scores with this variance
    mean = float((w * scores).sum() / w.sum())
    variance = float((w * (scores - mean) ** 2).sum() / w.sum()) / size
    inflation = 1.0 if folds is None else 1 + folds / (folds - 1) / 2
    return _padded(mean, variance, low, high, size, float(stats.norm.ppf((1 + level) / 2)), inflation)


def paired_interval(differences: Tensor, *, level: float = 0.95) -> Interval:
    """Interval of the mean of differences of paired scores, each in [−1, 1], one a pair.

    Two pairs are added, one of each sign, before the normal interval is computed (Bonett and Price, J. Educ. Behav.
    Stat. 37, 2012). :func:`mean_interval` adds few scores where most differences are 0. Of planted rates near 0, with a
    few pairs in a hundred that differ, its intervals then covered 82 %. Cut to [−1, 1]. NaN is left out.
    """
    known = differences[~differences.isnan()].double()
    if len(known) == 0:
        return NO_INTERVAL
    both = torch.cat([known, known.new_tensor([-1.0, 1.0])])
    mean = float(both.mean())
    reach = float(stats.norm.ppf((1 + level) / 2)) * float(both.var(correction=0) / len(both)) ** 0.5
    return max(-1.0, mean - reach), min(1.0, mean + reach)


def resampled_interval(
    values: Tensor, *, folds: int, size: int, low: float = 0.0, high: float = 1.0, level: float = 0.95
) -> Interval:
    """Interval of the mean over the folds of a repeated cross-validation.

    The corrected resampled t-test of Nadeau and Bengio (Mach. Learn. 52, 2003): variance (1/J + 1/(K − 1))·S² for J
    values and K folds, t(J − 1). Cut to [low, high]. Where all values are equal it is that of :func:`mean_interval` for
    ``size`` images.
    """
    count, mean = len(values), float(values.mean())
    variance = (1 / count + 1 / (folds - 1)) * float(values.double().var())
    quantile = float(stats.t.ppf((1 + level) / 2, count - 1))
    if not variance > 1e-20 * (high - low) ** 2:
        return _padded(mean, 0.0, low, high, size, quantile)
    reach = quantile * variance**0.5
    return max(low, mean - reach), min(high, mean + reach)


def _padded(
    value: float, variance: float, low: float, high: float, size: float, quantile: float, inflation: float = 1.0
) -> Interval:
    """ "Plus four" around a mean of ``size`` queries with the given variance; ``inflation`` raises it."""
    most = (value - low) * (high - value)  # variance of a query with scores at the two ends only
    pad = 4 * min(1.0, max(0.04, variance * size / most)) if most > 1e-12 * (high - low) ** 2 else 4.0
    total = size + pad
    centre = (size * value + pad * (low + high) / 2) / total
    spread = size**2 * variance + size * (value - centre) ** 2 + pad * ((low - centre) ** 2 + (high - centre) ** 2) / 2
    reach = quantile * (inflation * spread) ** 0.5 / total
    return max(low, centre - reach), min(high, centre + reach)


def jackknife_interval(
    statistic: Callable[[Tensor], Tensor],
    n: int,
    *,
    blocks: int = 20,
    level: float = 0.95,
    seed: int = 0,
    near_one: bool = False,
    bounds: tuple[float, float, float] | None = None,
    curvature: bool = True,
    excess: float = 1.0,
) -> Interval:
    """Delete-a-block jackknife around the statistic of all n images, corrected for its curvature.

    Each of ``blocks`` = b random blocks of nearly equal size is left out in turn, and each pair of them. The single
    blocks give V = (b−1)/b Σ(θ₋ᵢ − mean)² (Shao and Wu, Ann. Stat. 17, 1989). For pairwise and neighbour statistics V
    is too large, because it counts their quadratic part twice. It is up to twice too large where two sets are one and
    the statistic is degenerate. The second differences Q_ij = bθ − (b−1)(θ₋ᵢ + θ₋ⱼ) + (b−2)θ₋ᵢⱼ estimate that part:
    q = Σ(Q_ij − mean)²/(b(b−1)) (Efron and Stein, Ann. Stat. 9, 1981). q is noisy, and V − q would make the intervals
    of regular statistics too short. So q is subtracted in proportion to how degenerate the statistic looks: V·(1 − 2r²)
    with r = min(q/V, ½). ``intertwine calibrate`` measures the coverage.

    Args:
        statistic: masks of the subsets, bool ``(B, n)`` → the value of each subset, ``(B,)``. B = 1 + b + b(b−1)/2, and
            the first mask is all images.
        n: number of images. blocks: at most n; with fewer than 4 images there is no interval.
        near_one: for similarities near their maximum 1. The interval is that of −log(1 − θ), whose errors are
            symmetric there, transformed back.
        bounds: lowest and highest value and number of queries, for a share among queries. The interval is then padded
            and cut like that of :func:`mean_interval`, and has a width where the share is 0.
        curvature: without it, V is not corrected and no pair of blocks is left out: B = 1 + b.
        excess: factor by which V is known to be too large for this statistic.

    Returns:
        value ± t(b − 1)·√V; NaN where the statistic is not finite for some subset.
    """
    blocks = min(blocks, n)
    if blocks < 4:
        return NO_INTERVAL
    masks = _leaving_out(n, blocks, seed)
    values = statistic(masks if curvature else masks[: blocks + 1]).double()
    bends = near_one and bool((values < 1).all())
    if bends:
        values = -torch.log1p(-values)
    whole, single, pairs = values[0], values[1 : blocks + 1], values[blocks + 1 :]
    if not bool(values.isfinite().all()):
        return NO_INTERVAL
    variance = (blocks - 1) / blocks * (single - single.mean()).square().sum()
    if curvature and variance > 0:
        first, second = torch.triu_indices(blocks, blocks, 1)
        bend = blocks * whole - (blocks - 1) * (single[first] + single[second]) + (blocks - 2) * pairs
        quadratic = (bend - bend.mean()).square().sum() / (blocks * (blocks - 1))
        variance = variance * (1 - 2 * (quadratic / variance).clamp(max=0.5).square())
    variance = variance / excess
    t = float(stats.t.ppf((1 + level) / 2, blocks - 1))
    if bounds is not None:
        return _padded(float(whole), float(variance), *bounds, t)
    reach = t * variance.sqrt()
    low, high = whole - reach, whole + reach
    if bends:
        low, high = -torch.expm1(-low), -torch.expm1(-high)
    return float(low), float(high)


def _leaving_out(n: int, blocks: int, seed: int) -> Tensor:
    """Masks of all images, without each block, and without each pair of blocks: bool ``(1 + b + b(b−1)/2, n)``."""
    out = torch.zeros(blocks, n, dtype=torch.bool)
    order = torch.randperm(n, generator=generator(seed, "jackknife", n))
    for row, block in zip(out, order.tensor_split(blocks), strict=True):
        row[block] = True
    first, second = torch.triu_indices(blocks, blocks, 1)
    return ~torch.cat([torch.zeros(1, n, dtype=torch.bool), out, out[first] | out[second]])


def t_interval(values: Tensor, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of independent values, such as one a seed or one a random trigger.

    The quantile is scipy's. The claims take the same interval from statsmodels, with its tests (equal to 4e-16).
    """
    n = len(values)
    if n < 2:
        return NO_INTERVAL
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(values.double().std()) / n**0.5
    return float(values.double().mean()) - reach, float(values.double().mean()) + reach


def rate_interval(values: Tensor, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of independent rates in [0, 1], such as one ASR a seed, inside [0, 1].

    It is formed on the scale of the log-odds: the standard error of the mean is divided by mean·(1 − mean), the slope
    of the rate (delta method; Agresti, Categorical Data Analysis, 3rd ed., §16.1).

    >>> [round(limit, 2) for limit in rate_interval(torch.tensor([1.0, 1.0, 0.9]))]
    [0.25, 1.0]
    """
    low, high = t_interval(values, level=level)
    mean = float(values.double().mean()) if len(values) else math.nan
    if not 0 < mean < 1 or math.isnan(low):
        return low, high
    centre, reach = math.log(mean / (1 - mean)), (high - low) / 2 / (mean * (1 - mean))
    return _logistic(centre - reach), _logistic(centre + reach)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def swap_within_pairs(first: Tensor, second: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """Exchange the members of each pair (rows of equal index) with probability ½, for control tasks."""
    if first.shape != second.shape:
        raise InputError(f"first, second: expected equal shapes, received {tuple(first.shape)}, {tuple(second.shape)}")
    swap = torch.rand(len(first), generator=generator(seed, "swap", len(first))) < 0.5
    swap = swap.view(-1, *[1] * (first.ndim - 1))
    return torch.where(swap, second, first), torch.where(swap, first, second)
