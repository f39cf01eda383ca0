"""The parts of claims, and verdicts in words from effects and adjusted p."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .power import power
from .statistics import Effect

__all__ = ["ENOUGH_SEEDS", "LEVEL", "PARTS", "Part", "verdict"]

ENOUGH_SEEDS = 10
LEVEL = 0.05
FAIR = 0.5
"""Power below which a verdict could hardly have come out."""


@dataclass(frozen=True)
class Part:
    """One condition of a claim: a reading lies ``below`` or ``above`` its margin, or ``within`` ± the margin.

    Every reading is 0 where the tasks are apart. Each margin lies nearer to that end than to the other.
    """

    measure: str
    side: Literal["below", "above", "within"]
    margin: float

    @property
    def words(self) -> str:
        return {"below": "< ", "above": "> ", "within": "within ±"}[self.side] + f"{self.margin:g}"

    def p(self, effect: Effect) -> float:
        """p of the test that the part holds; NaN where there is no test."""
        if self.side == "within":
            return effect.p_within(self.margin)
        return effect.p_below(self.margin) if self.side == "below" else effect.p_above(self.margin)

    def p_fail(self, effect: Effect) -> float:
        """p of the opposite test: that the part does not hold. Outside ± the margin lie two sides, so that p is twice
        the smaller one."""
        if self.side == "within":
            return min(1.0, 2 * min(effect.p_above(self.margin), effect.p_below(-self.margin)))
        return effect.p_above(self.margin) if self.side == "below" else effect.p_below(self.margin)

    def outcome(self, effect: Effect) -> str:
        """``pass``, ``fail`` or ``open``, of this part alone at the level of 5 %.

        Without a test, in a single run, it passes if the 90 % interval lies where the part says. It fails if the 90 %
        interval (of ``within``: the 95 % interval) lies on the other side of the margin.
        """
        if effect.why:
            return "open"
        if effect.error == effect.error:
            return "pass" if self.p(effect) <= LEVEL else "fail" if self.p_fail(effect) <= LEVEL else "open"
        (low, high), (low95, high95), margin = effect.interval90, effect.interval95, self.margin
        if self.side == "within":
            holds, fails = -margin < low and high < margin, low95 > margin or high95 < -margin
        else:
            holds, fails = high < margin, low > margin
            holds, fails = (holds, fails) if self.side == "below" else (fails, holds)
        return "pass" if holds else "fail" if fails else "open"

    def is_underpowered(self, effect: Effect, level: float, parts: int) -> bool:
        """Whether neither outcome could have come out, at this level and error: the power is less than one half both
        at 0 and at twice the margin, which are as far from the margin on either side.

        Args:
            level: of the claim. parts: of the claim; failing one of them needs ``level / parts``.
        """
        if not effect.error > 0:
            return False
        two_sided = self.side == "within"
        holds = power(self.margin, effect.error, effect.df, level, both=two_sided)
        fails = power(self.margin, effect.error, effect.df, level / parts / (1 + two_sided))
        return holds < FAIR and fails < FAIR


PARTS: dict[str, tuple[Part, ...]] = {
    "C2": (
        Part("smaller_side_mixing", "below", 0.1),
        Part("interference", "within", 0.15),
        Part("mediation_excess", "below", 0.2),
    ),
    "C3": (Part("mixing_ratio", "above", 0.5), Part("mediation_excess", "above", 0.2)),
    "C4": (
        Part("smaller_side_mixing", "above", 0.05),
        Part("mediation_excess", "above", 0.05),
        Part("interference_size", "above", 0.05),
    ),
}
"""Claim → what must hold, in units of the readings."""


def verdict(
    parts: Sequence[Part], effects: Sequence[Effect], adjusted: float, adjusted_fail: float, level: float
) -> str:
    """Supported, not supported, underpowered, inconclusive or not evaluable.

    *Supported*: all parts hold, by the adjusted p of their conjunction. *Not supported*: one part is shown to fail, by
    a test as strict. *Not evaluable*: neither, and a part has no reading. *Underpowered*: neither, and one of the parts
    that were not shown could have come out neither way (:meth:`Part.is_underpowered`). Else *inconclusive*. With fewer
    seeds than :data:`ENOUGH_SEEDS` the others are "indicative: ...". A single run has no test: the outcomes of its
    parts decide.

    Args:
        effects: one a part.
        adjusted, adjusted_fail: p of the conjunction and of its opposite over the family; NaN where there is no test.
        level: of this claim in its family, before Holm's steps: what it must reach if it is the only one to hold.
    """
    outcomes = [part.outcome(effect) for part, effect in zip(parts, effects, strict=True)]
    judged = [effect for effect in effects if not effect.why]
    if not judged:
        return "not evaluable"
    tested = any(effect.error == effect.error for effect in judged)
    if adjusted_fail <= LEVEL if tested else "fail" in outcomes:
        decided = "not supported"
    elif len(judged) < len(parts):
        return "not evaluable"
    elif adjusted <= LEVEL if tested else set(outcomes) == {"pass"}:
        decided = "supported"
    else:
        open_parts = [(p, e) for p, e in zip(parts, effects, strict=True) if p.p(e) > level]
        if any(part.is_underpowered(effect, level, len(parts)) for part, effect in open_parts):
            return "underpowered"
        decided = "inconclusive"
    return decided if min(e.seeds for e in judged) >= ENOUGH_SEEDS else f"indicative: {decided}"
