"""The paper's claims as predicates on rows, written down before any study starts.

The operationalisation is ours, not the paper's. Primary readings, each as a difference to the same method's clean
encoder on the same images: neighbour mixing on P⁺ at the tap, and gradient alignment over all weights.

- **C2**, supervised arms learn the tasks *independently*: an equivalence claim. Supported if the 90 % interval of both
differences
  lies inside ±margin (two one-sided tests at 5 %); not supported if a 95 % interval lies outside of it.
- **C3**, contrastive learning *intertwines* them: supported if both differences exceed the margin (95 % intervals;
intersection-union),
  not supported if one of them lies below it.
- **C4**, contrastive and supervised arms *differ*: contrast of the differences, contrastive minus each poisoned
supervised or SupCon
  arm apart, so that the loss is not confounded with the labels. Supported if both contrasts are above 0, not supported
  if one is not above 0 by its whole interval, or is below.

A reading that is not ``ok`` makes a claim *not evaluable*; anything else is *inconclusive*. Across runs the seed is
the unit: paired t intervals. With one seed the interval is that of the images of one run, and with fewer than ten the
    verdict is only "indicative".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from scipy import stats

from ..probes.gradients import WHOLE
from ..probes.nulls import t_interval
from ..representations.encoders import FEATURES
from ..training.poison import ARMS
from .rows import select

__all__ = ["CLAIM_COLUMNS", "MARGIN", "PRIMARY", "Effect", "effect", "judge"]

MARGIN = 0.1
"""Half-width of "the same", in units of either primary reading: both are 1 where the tasks are fully intertwined. For
mixing, whose floor is near 0, it is a tenth of the scale; for alignment, whose floor is often negative, less."""

ENOUGH_SEEDS = 10

PRIMARY: dict[str, dict[str, str]] = {
    "neighbour_mixing": {"layer": FEATURES, "subset": "P+"},
    "gradient_alignment": {"layer": WHOLE, "subset": "C_o"},
}

CLAIM_COLUMNS = [
    "claim",
    "statement",
    "arm",
    "against",
    "measure",
    "effect",
    "ci90_low",
    "ci90_high",
    "ci_low",
    "ci_high",
    "seeds",
    "verdict",
    "why",
]


@dataclass(frozen=True)
class Effect:
    """A floor-corrected reading, or a contrast of two: value with 90 and 95 % intervals over ``seeds`` runs. ``why``:
    what is missing, if anything."""

    value: float
    interval90: tuple[float, float]
    interval95: tuple[float, float]
    seeds: int
    why: str = ""


def effect(rows: pd.DataFrame, measure: str, arm: str, against: str | None = None) -> Effect:
    """(arm − floor), or (arm − floor) − (against − floor) paired by seed."""
    parts = [_differences(rows, measure, a) for a in ([arm] if against is None else [arm, against])]
    reasons = [why for _, why in parts if why]
    tables = [t for t, _ in parts]
    seeds = sorted(set.intersection(*(set(t.index) for t in tables)))
    if reasons or not seeds:
        nothing = (float("nan"), float("nan"))
        return Effect(
            float("nan"), nothing, nothing, len(seeds), "; ".join(reasons) or "no seed has all the arms needed"
        )
    signs = (1.0, -1.0)
    values = sum(sign * t.loc[seeds, "value"] for sign, t in zip(signs, tables, strict=False))
    assert isinstance(values, pd.Series)
    if len(seeds) > 1:
        data = torch.tensor(values.to_numpy(dtype=float))
        return Effect(float(data.mean()), t_interval(data, level=0.9), t_interval(data), len(seeds))
    value, seed = float(values.iloc[0]), seeds[0]
    below, above = float(tables[0].loc[seed, "below"]), float(tables[0].loc[seed, "above"])
    if against is not None:  # what the other's difference could be above its value lowers the contrast
        other = tables[1].loc[seed]
        below, above = math.hypot(below, float(other["above"])), math.hypot(above, float(other["below"]))
    if math.isnan(below + above):
        nothing = (float("nan"), float("nan"))
        return Effect(value, nothing, nothing, 1, f"{measure} has no interval in seed {seed}")
    narrower = float(stats.norm.ppf(0.95) / stats.norm.ppf(0.975))
    interval90 = (value - narrower * below, value + narrower * above)
    return Effect(value, interval90, (value - below, value + above), 1)


def _differences(rows: pd.DataFrame, measure: str, arm: str) -> tuple[pd.DataFrame, str]:
    """Reading minus floor and how far its 95 % interval reaches below and above, by seed; and why a seed cannot be
    used.

    The limits of a difference from those of its parts, which need not be symmetric: Zou and Donner, Stat. Med. 27
    (2008), eq. 3. The parts are measured on the same images; ignoring that errs on the wide side.
    """
    rows = select(rows, arm=arm, measure=measure, **PRIMARY[measure])
    differences, missing = {}, []
    for seed, run in rows.groupby("seed"):
        readings, floors = run[(run.reference == "") & (run.run_b == "")], run[run.reference == "floor"]
        if readings.empty or floors.empty:
            missing.append(f"{arm} seed {seed}: no {'reading' if readings.empty else 'floor'} of {measure}")
            continue
        reading, floor = readings.iloc[0], floors.iloc[0]
        bad = [f"{who} is {r['status']}" for who, r in (("reading", reading), ("floor", floor)) if r["status"] != "ok"]
        if bad:
            missing.append(f"{arm} seed {seed}: {measure} {' and '.join(bad)}")
            continue
        below = math.hypot(reading["value"] - reading["ci_low"], floor["ci_high"] - floor["value"])
        above = math.hypot(reading["ci_high"] - reading["value"], floor["value"] - floor["ci_low"])
        differences[seed] = (reading["value"] - floor["value"], below, above)
    if rows.empty:
        missing.append(f"{arm}: no rows of {measure}")
    table = pd.DataFrame.from_dict(differences, orient="index", columns=["value", "below", "above"])
    return table, "; ".join(missing)


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on C2, C3 and C4 from the rows of runs: one row a claim, arm and primary reading
    (:data:`CLAIM_COLUMNS`)."""
    present = [arm for arm in ARMS if arm in set(rows["arm"]) and ARMS[arm].poisons != "none"]
    supervised = [arm for arm in present if ARMS[arm].method == "supervised"]
    labelled = [arm for arm in present if ARMS[arm].labelled]
    contrastive = [arm for arm in present if not ARMS[arm].labelled]
    table = []
    for arm in supervised:
        table += _claim(rows, "C2", "the supervised arm learns its two tasks independently", arm, None)
    for arm in contrastive:
        table += _claim(rows, "C3", "contrastive learning intertwines its two tasks", arm, None)
        for other in labelled:
            table += _claim(rows, "C4", "contrastive intertwines them more than this arm does", arm, other)
    return pd.DataFrame(table, columns=CLAIM_COLUMNS)


def _claim(rows: pd.DataFrame, claim: str, statement: str, arm: str, against: str | None) -> list[dict[str, object]]:
    effects = {measure: effect(rows, measure, arm, against) for measure in PRIMARY}
    verdict = _verdict(claim, list(effects.values()))
    seeds = min(e.seeds for e in effects.values())
    if seeds < ENOUGH_SEEDS and verdict != "not evaluable":
        verdict = f"indicative: {verdict}"
    return [
        {
            "claim": claim,
            "statement": statement,
            "arm": arm,
            "against": against or f"{ARMS[arm].floor} (floor)",
            "measure": measure,
            "effect": e.value,
            "ci90_low": e.interval90[0],
            "ci90_high": e.interval90[1],
            "ci_low": e.interval95[0],
            "ci_high": e.interval95[1],
            "seeds": e.seeds,
            "verdict": verdict,
            "why": e.why,
        }
        for measure, e in effects.items()
    ]


def _verdict(claim: str, effects: Sequence[Effect]) -> str:
    if any(e.why for e in effects):
        return "not evaluable"
    if claim == "C2":
        if all(e.interval90[0] > -MARGIN and e.interval90[1] < MARGIN for e in effects):
            return "supported"
        outside = any(e.interval95[0] > MARGIN or e.interval95[1] < -MARGIN for e in effects)
        return "not supported" if outside else "inconclusive"
    threshold = MARGIN if claim == "C3" else 0.0
    if all(e.interval95[0] > threshold for e in effects):
        return "supported"
    return "not supported" if any(e.interval95[1] < threshold for e in effects) else "inconclusive"
