"""Verdicts in words, from effects and adjusted p."""

from collections.abc import Sequence

from .statistics import Effect

__all__ = ["ENOUGH_SEEDS", "LEVEL", "MARGIN", "threshold_of", "verdict"]

MARGIN = 0.1
"""Half-width of "the same", in units of either primary reading: both are 1 where the tasks are fully intertwined. The
benign twin of mixing is near 0, so the margin is a tenth of the scale. That of alignment is often negative, so the
margin is less than a tenth."""

ENOUGH_SEEDS = 10
LEVEL = 0.05


def verdict(claim: str, effects: Sequence[Effect], adjusted: float) -> str:
    """Supported, not supported, inconclusive or not evaluable; "indicative: ..." with fewer seeds than
    :data:`ENOUGH_SEEDS`.

    Args:
        effects: of all the readings that must pass.
        adjusted: p over all claims of a table; NaN with one seed, where the intervals of its images decide.
    """
    if any(e.why for e in effects):
        return "not evaluable"
    decided = _equivalent(effects, adjusted) if claim == "C2" else _above(threshold_of(claim), effects, adjusted)
    return decided if min(e.seeds for e in effects) >= ENOUGH_SEEDS else f"indicative: {decided}"


def threshold_of(claim: str) -> float:
    """What the effects of a one-sided claim must exceed."""
    return MARGIN if claim == "C3" else 0.0


def _equivalent(effects: Sequence[Effect], adjusted: float) -> str:
    alone = adjusted != adjusted
    inside = all(e.interval90[0] > -MARGIN and e.interval90[1] < MARGIN for e in effects)
    if inside if alone else adjusted <= LEVEL:
        return "supported"
    outside = any(e.interval95[0] > MARGIN or e.interval95[1] < -MARGIN for e in effects)
    return "not supported" if outside else "inconclusive"


def _above(threshold: float, effects: Sequence[Effect], adjusted: float) -> str:
    alone = adjusted != adjusted
    above = all(e.interval95[0] > threshold for e in effects)
    if above if alone else adjusted <= LEVEL:
        return "supported"
    return "not supported" if any(e.interval95[1] < threshold for e in effects) else "inconclusive"
