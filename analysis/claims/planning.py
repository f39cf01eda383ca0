"""How many seeds the verdicts of a study need, before anything is trained."""

import math
from collections.abc import Iterable

import pandas as pd

from .cells import Runs, effect, runs_of
from .learning_claims import Claim, claims_about, family_size
from .power import largest_spread, power, seeds_needed
from .statistics import Effect
from .verdicts import ENOUGH_SEEDS, LEVEL, Part

__all__ = ["PLAN_COLUMNS", "plan"]

PLAN_COLUMNS = [
    *("claim", "family", "arm", "against", "part", "measure", "margin", "level", "pilot_seeds", "spread"),
    *("seeds_to_support", "seeds_to_refute", "power_to_support", "power_to_refute", "success", "runs_an_arm"),
]


def plan(arms: Iterable[str], seeds: int, pilot: pd.DataFrame | None = None) -> pd.DataFrame:
    """What each part of each claim about these arms needs: one line a part, columns :data:`PLAN_COLUMNS`.

    The two alternatives are those by which a result is called underpowered: 0 and twice the margin. One is on the side
    that the claim states, the other on the opposite side, both as far from the margin. Levels are those of the claim in
    its family, before Holm's steps; the opposite test divides them by the number of parts.

    With a pilot, ``spread`` is the standard deviation of one seed (of a contrast: of one seed of each arm) in it.
    ``seeds_to_support`` and ``seeds_to_refute`` are the seeds in which the attack must work, for a power of .8 and a
    verdict that is not only indicative. ``power_…`` is the power of the planned ``seeds``. ``success`` is the least
    share of the pilot's runs of an arm that are backdoored, and ``runs_an_arm`` how many runs the larger number of
    seeds then needs. Without a pilot, ``spread`` is the largest at which ``seeds`` have a power of .8 both ways.

    Args:
        arms: of the study; those without poison are ignored.
        seeds: planned.
        pilot: rows of an earlier study.
    """
    claims = claims_about(arms)
    runs = runs_of(pilot) if pilot is not None else {}
    lines = []
    for claim in claims:
        level = LEVEL / family_size(claim, claims)
        for part in claim.parts:
            found = effect(runs, part.measure, claim.weights) if pilot is not None else None
            about: dict[str, object] = {
                "claim": claim.name,
                "family": claim.family,
                "arm": claim.arm,
                "against": claim.against,
            }
            about |= {"part": part.words, "measure": part.measure, "margin": part.margin, "level": level}
            lines.append(about | _needs(claim, part, level, seeds, found, runs))
    return pd.DataFrame(lines, columns=PLAN_COLUMNS)


def _needs(claim: Claim, part: Part, level: float, seeds: int, pilot: Effect | None, runs: Runs) -> dict[str, object]:
    both = part.side == "within"
    opposite = level / len(claim.parts) / (2 if both else 1)
    if pilot is None:
        spreads = largest_spread(part.margin, seeds, level, both=both), largest_spread(part.margin, seeds, opposite)
        return {"pilot_seeds": 0, "spread": min(spreads)}
    support, refute = (
        max(float(ENOUGH_SEEDS), seeds_needed(part.margin, pilot.spread, at, both=two))
        if pilot.spread == pilot.spread
        else float("nan")
        for at, two in ((level, both), (opposite, False))
    )
    error = pilot.spread / math.sqrt(seeds)
    tested = seeds > 1 and error == error
    shares = [
        sum(bool(run.backdoored) for run in runs[arm].values()) / len(runs[arm]) for arm in claim.weights if arm in runs
    ]
    success = min(shares, default=float("nan"))
    return {
        "pilot_seeds": pilot.seeds,
        "spread": pilot.spread,
        "seeds_to_support": support,
        "seeds_to_refute": refute,
        "power_to_support": power(part.margin, error, seeds - 1, level, both=both) if tested else float("nan"),
        "power_to_refute": power(part.margin, error, seeds - 1, opposite) if tested else float("nan"),
        "success": success,
        "runs_an_arm": _runs(max(support, refute), success),
    }


def _runs(seeds: float, success: float) -> float:
    """Infinity where no number of runs is enough."""
    if math.isnan(seeds) or math.isnan(success):
        return float("nan")
    return float(math.ceil(seeds / success)) if success and math.isfinite(seeds) else math.inf
