"""Effects over seeds, their t intervals and tests, and Holm's adjustment. All tests are those of statsmodels."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

__all__ = ["NO_INTERVAL", "Effect", "holm", "over_seeds"]

NO_INTERVAL = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Effect:
    """A reading minus its benign twin's, or a contrast of two of these, over ``seeds`` runs.

    ``interval90``, ``interval95``: its confidence limits. ``why``: what is missing, if anything. ``left_out``: the
    seeds that could not be used and why, fewer than half.
    """

    value: float
    interval90: tuple[float, float]
    interval95: tuple[float, float]
    seeds: int
    why: str = ""
    values: tuple[float, ...] = ()
    """One a seed, where there are several."""
    left_out: str = ""

    def p_above(self, threshold: float) -> float:
        """One-sided p of the t test that the mean over seeds lies above the threshold; NaN with one seed."""
        if len(self.values) < 2:
            return float("nan")
        if len(set(self.values)) == 1:  # no spread, no t: the answer is plain
            return 0.0 if self.values[0] > threshold else 1.0
        return float(DescrStatsW(self.values).ttest_mean(threshold, alternative="larger")[1])

    def p_within(self, margin: float) -> float:
        """p of equivalence: the larger p of two one-sided t tests against ±margin (TOST); NaN with one seed."""
        if len(self.values) < 2:
            return float("nan")
        if len(set(self.values)) == 1:
            return 0.0 if abs(self.values[0]) < margin else 1.0
        return float(DescrStatsW(self.values).ttost_mean(-margin, margin)[0])


def over_seeds(values: "pd.Series[float]", *, why: str = "", left_out: str = "") -> Effect:
    """The mean of one value a seed, with Student's intervals; two seeds at least, or there is no interval."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) < 2:
        value = float(numbers[0]) if len(numbers) else float("nan")
        why = why or "fewer than two seeds have no interval"
        return Effect(value, NO_INTERVAL, NO_INTERVAL, len(numbers), why, left_out=left_out)
    sample = DescrStatsW(numbers)
    low90, high90 = sample.tconfint_mean(alpha=0.1)
    low95, high95 = sample.tconfint_mean(alpha=0.05)
    return Effect(
        float(sample.mean),
        (float(low90), float(high90)),
        (float(low95), float(high95)),
        len(numbers),
        why,
        tuple(numbers.tolist()),
        left_out,
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of several p (Scand. J. Stat. 6, 1979). NaN are no tests and stay.

    >>> [round(p, 3) for p in holm([0.01, float("nan"), 0.04, 0.03])]
    [0.03, nan, 0.06, 0.06]
    """
    tests = [p for p in ps if p == p]
    adjusted = iter(multipletests(tests, method="holm")[1].tolist() if tests else [])
    return [next(adjusted) if p == p else p for p in ps]
