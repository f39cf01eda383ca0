"""Power of the tests of a claim's parts, and how many seeds a verdict needs.

All tests are t tests against a margin. Their power is that of the noncentral t distribution at a truth that lies
``distance`` beyond the margin.
"""

import math

import numpy as np
from scipy import stats

__all__ = ["ENOUGH_POWER", "MOST_SEEDS", "largest_spread", "power", "seeds_needed"]

ENOUGH_POWER = 0.8
MOST_SEEDS = 10_000


def power(distance: float, error: float, df: float, level: float, *, both: bool = False) -> float:
    """Chance that a one-sided t test at ``level`` shows a mean that lies ``distance`` beyond the margin.

    Args:
        error: standard error of the mean. df: degrees of freedom.
        both: two such tests must hold, against margins on either side of the mean (TOST). The chance of both is at
            least twice the chance of one, minus 1, and equal to it where one of the two always holds.
    """
    if error == 0:
        return 1.0
    critical = float(stats.t.isf(level, df))
    one = float(stats.nct.sf(critical, df, distance / error))
    if not 0 <= one <= 1:  # far out the series does not converge; the normal approximation of Johnson and Kramer does
        shift = critical * (1 - 1 / (4 * df)) - distance / error
        one = float(stats.norm.sf(shift / math.sqrt(1 + critical**2 / (2 * df))))
    return max(0.0, 2 * one - 1) if both else one


def seeds_needed(distance: float, spread: float, level: float, *, both: bool = False) -> float:
    """The least number of seeds, two at least, with a power of :data:`ENOUGH_POWER`.

    Args:
        spread: standard deviation of one seed.

    Returns:
        a whole number; infinity if it exceeds :data:`MOST_SEEDS`, NaN without a spread.
    """
    if math.isnan(spread):
        return float("nan")

    def enough(seeds: int) -> bool:
        return power(distance, spread / math.sqrt(seeds), seeds - 1, level, both=both) >= ENOUGH_POWER

    low, high = 1, 2
    while not enough(high):
        if high >= MOST_SEEDS:
            return math.inf
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def largest_spread(distance: float, seeds: int, level: float, *, both: bool = False) -> float:
    """The largest standard deviation of one seed at which so many seeds have a power of :data:`ENOUGH_POWER`; NaN with
    fewer than two."""
    if seeds < 2:
        return float("nan")
    low, high = 0.0, 100 * distance
    for _ in range(60):
        middle = float(np.mean([low, high]))
        reached = power(distance, middle / math.sqrt(seeds), seeds - 1, level, both=both) >= ENOUGH_POWER
        low, high = (middle, high) if reached else (low, middle)
    return low
