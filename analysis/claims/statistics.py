"""Effects over seeds, their t intervals and tests, and Holm's adjustment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

__all__ = ["NO_INTERVAL", "Effect", "contrast", "holm", "over_seeds", "within_runs"]

NAN = float("nan")
NO_INTERVAL = (NAN, NAN)


@dataclass(frozen=True)
class Effect:
    """A reading, or a contrast of readings of several arms, over ``seeds`` runs of each arm.

    ``interval90``, ``interval95``: its confidence limits. ``why``: what is missing, if anything. ``left_out``: the
    seeds that could not be used and why. ``error``, ``df``: standard error and degrees of freedom of its t tests; NaN
    where there is no test. ``spread``: standard deviation of one seed. ``design``: how seeds were counted.
    """

    value: float
    interval90: tuple[float, float]
    interval95: tuple[float, float]
    seeds: int
    why: str = ""
    left_out: str = ""
    error: float = NAN
    df: float = NAN
    spread: float = NAN
    design: str = ""

    def p_above(self, threshold: float) -> float:
        """One-sided p of the t test that the mean lies above the threshold; NaN where there is no test."""
        return self._p(self.value - threshold)

    def p_below(self, threshold: float) -> float:
        """One-sided p of the t test that the mean lies below the threshold; NaN where there is no test."""
        return self._p(threshold - self.value)

    def p_within(self, margin: float) -> float:
        """p of equivalence: the larger p of two one-sided t tests against ±margin (TOST, Schuirmann 1987)."""
        return max(self.p_above(-margin), self.p_below(margin))

    def _p(self, distance: float) -> float:
        if self.error == 0:  # no spread, no t: the answer is plain
            return 0.0 if distance > 0 else 1.0
        return float(stats.t.sf(distance / self.error, self.df))


def over_seeds(values: "pd.Series[float]", *, why: str = "", left_out: str = "") -> Effect:
    """The mean of one value a seed, with Student's intervals; two seeds at least, or there is no interval."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) < 2:
        value = float(numbers[0]) if len(numbers) else NAN
        why = why or "fewer than two seeds have no interval"
        return Effect(value, NO_INTERVAL, NO_INTERVAL, len(numbers), why, left_out)
    sample = DescrStatsW(numbers)
    # The mean of equal numbers may differ from them in the last bit.
    alike = len(set(numbers.tolist())) == 1
    mean, error = (float(numbers[0]), 0.0) if alike else (float(sample.mean), float(sample.std_mean))
    spread = error * math.sqrt(len(numbers))
    return _estimate(mean, error, len(numbers) - 1.0, len(numbers), spread, why=why, left_out=left_out)


def contrast(cells: Mapping[str, "pd.Series[float]"], weights: Mapping[str, float]) -> Effect:
    """A weighted sum of the means of arms. ``cells``: arm → one value a seed (index), two seeds at least.

    Where every arm has the same seeds the contrast is paired: it is formed in each seed, and the t test is over seeds.
    Otherwise it is unpaired: arms count as independent samples of unequal variance, with Satterthwaite's degrees of
    freedom (Welch, Biometrika 34, 1947). Seeds that arms share then only make the interval too wide, as long as what a
    seed does to two arms is alike.
    """
    seeds = [set(values.index) for values in cells.values()]
    if len(cells) == 1 or all(s == seeds[0] for s in seeds):
        effect = over_seeds(sum(weights[arm] * values.sort_index() for arm, values in cells.items()))  # type: ignore[arg-type]
        design = f"{effect.seeds} seeds" if len(cells) == 1 else f"paired: {effect.seeds} pairs"
        return _with_design(effect, design)
    counts = [len(values) for values in cells.values()]
    squares = [weights[arm] ** 2 * over_seeds(values).spread ** 2 for arm, values in cells.items()]
    parts = [square / n for square, n in zip(squares, counts, strict=True)]
    variance = sum(parts)
    shares = sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    df = variance**2 / shares if shares else float(min(counts) - 1)
    value = sum(weights[arm] * float(values.mean()) for arm, values in cells.items())
    effect = _estimate(value, math.sqrt(variance), df, min(counts), math.sqrt(sum(squares)))
    pairs = len(set.intersection(*seeds))
    return _with_design(effect, f"unpaired (Welch): {', '.join(map(str, counts))} seeds, {pairs} of them in all arms")


def within_runs(parts: Sequence[tuple[float, float, float, float]], *, without: str = "no interval") -> Effect:
    """A contrast of one run of each arm: its intervals are over the images of the runs, and there is no test.

    The limits of a sum follow from those of its parts, which need not be symmetric: Zou and Donner, Stat. Med. 27
    (2008), eq. 3.

    Args:
        parts: weight, value, and how far the 95 % interval reaches below and above it.
        without: what to report where there is no interval.
    """
    value = sum(weight * v for weight, v, _, _ in parts)
    reach = [(w * low, w * high) if w > 0 else (-w * high, -w * low) for w, _, low, high in parts]
    below, above = (math.hypot(*side) for side in zip(*reach, strict=True))
    if math.isnan(below + above):
        return Effect(value, NO_INTERVAL, NO_INTERVAL, 1, without, design="one run")
    narrower = float(stats.norm.ppf(0.95) / stats.norm.ppf(0.975))
    interval90 = (value - narrower * below, value + narrower * above)
    return Effect(value, interval90, (value - below, value + above), 1, design="one run")


def holm(ps: Sequence[float], count: int = 0) -> list[float]:
    """Holm's step-down adjustment of several p (Scand. J. Stat. 6, 1979). NaN are no tests and stay.

    Args:
        count: tests of the family, if more than there are p: those that are missing count as p = 1.

    >>> [round(p, 3) for p in holm([0.01, float("nan"), 0.04, 0.03])]
    [0.03, nan, 0.06, 0.06]
    >>> holm([0.01], 2)
    [0.02]
    """
    # statsmodels' own function collects garbage at every call, which takes longer than all else of a verdict.
    tests = [i for i, p in enumerate(ps) if p == p]
    count, adjusted, highest = max(count, len(tests)), list(ps), 0.0
    for step, i in enumerate(sorted(tests, key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (count - step) * ps[i]))
        adjusted[i] = highest
    return adjusted


def _estimate(
    value: float, error: float, df: float, seeds: int, spread: float, *, why: str = "", left_out: str = ""
) -> Effect:
    half90, half95 = (float(stats.t.ppf(q, df)) * error for q in (0.95, 0.975))
    intervals = (value - half90, value + half90), (value - half95, value + half95)
    return Effect(value, *intervals, seeds, why, left_out, error, df, spread)


def _with_design(effect: Effect, design: str) -> Effect:
    return Effect(**{**vars(effect), "design": design})
