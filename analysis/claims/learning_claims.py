"""C2, C3 and C4 as predicates on rows, written down before a study starts.

The operationalisation is ours, not the paper's. Two primary readings decide: neighbour mixing of hits at the output,
and gradient alignment over all weights. Each is taken minus the benign twin's, on the same images.

- **C2**, supervised arms learn the tasks *independently*: an equivalence claim. Supported if the 90 % intervals of both
  differences lie inside ±margin (two one-sided tests at 5 %). Not supported if the 95 % interval of one lies outside.
- **C3**, contrastive learning *intertwines* the tasks. Supported if both differences exceed the margin (one-sided tests
  at 5 %, intersection-union). Not supported if the 95 % interval of one lies below the margin.
- **C4**, contrastive and supervised arms *differ*. The contrast is the contrastive arm's difference minus that of a
  poisoned supervised or SupCon arm. Each of these arms is compared apart: the loss is not confounded with the labels.
  Supported if both contrasts are above 0. Not supported if the 95 % interval of one lies below 0.

Both readings must pass, so the p of a claim is the larger of their two. Holm's procedure adjusts it over all claims of
a table, and "supported" needs an adjusted p of at most .05. A seed is left out, and named, if its reading or its benign
twin is not ``ok``. If half of the seeds or more are left out, the claim is *not evaluable*. Anything else is
*inconclusive*. Across runs the unit is the seed: t tests and intervals are paired by seed. With one seed the interval
is over the images of one run, and there is no p. With fewer than ten seeds a verdict is only "indicative".
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from scipy import stats

from ...training.arms import ARMS
from ..results.measures import PRIMARY
from ..results.table import select
from .statistics import NO_INTERVAL, Effect, holm, over_seeds
from .verdicts import ENOUGH_SEEDS, LEVEL, MARGIN, threshold_of, verdict

__all__ = ["CLAIM_COLUMNS", "STATEMENTS", "effect", "judge", "predicates"]

STATEMENTS = {
    "C2": "the supervised arm learns its two tasks independently",
    "C3": "contrastive learning intertwines its two tasks",
    "C4": "contrastive intertwines them more than this arm does",
}

CLAIM_COLUMNS = [
    *("claim", "statement", "arm", "against", "measure", "effect", "ci90_low", "ci90_high", "ci_low", "ci_high"),
    *("seeds", "p", "p_holm", "verdict", "why"),
]


def effect(rows: pd.DataFrame, measure: str, arm: str, against: str | None = None) -> Effect:
    """A reading of an arm minus its benign twin's; with ``against``, minus the same difference of that arm, paired by
    seed."""
    parts = [_differences(rows, measure, a) for a in ([arm] if against is None else [arm, against])]
    missing = "; ".join(why for _, why in parts if why)
    tables = [t for t, _ in parts]
    seeds = sorted(set.intersection(*(set(t.index) for t in tables)))
    tried = len(set(rows[rows["arm"].isin([arm, against])]["seed"]))
    if not seeds or 2 * len(seeds) <= tried:
        why = missing or "no seed has all the arms needed"
        return Effect(float("nan"), NO_INTERVAL, NO_INTERVAL, len(seeds), why)
    signs = (1.0, -1.0)
    values = sum(sign * t.loc[seeds, "value"] for sign, t in zip(signs, tables, strict=False))
    assert isinstance(values, pd.Series)
    if len(seeds) > 1:
        return over_seeds(values, left_out=f"left out: {missing}" if missing else "")
    return _within_run(
        float(values.iloc[0]), [t.loc[seeds[0]] for t in tables], f"{measure} has no interval in seed {seeds[0]}"
    )


def _within_run(value: float, parts: Sequence["pd.Series[float]"], without: str) -> Effect:
    """One seed: the interval is over the images of its run. ``parts``: how far each part reaches ``below`` and
    ``above`` its value. ``without``: what to report where there is no interval."""
    below, above = float(parts[0]["below"]), float(parts[0]["above"])
    if len(parts) > 1:  # whatever the other's difference may be above its value lowers the contrast
        below, above = math.hypot(below, float(parts[1]["above"])), math.hypot(above, float(parts[1]["below"]))
    if math.isnan(below + above):
        return Effect(value, NO_INTERVAL, NO_INTERVAL, 1, without)
    narrower = float(stats.norm.ppf(0.95) / stats.norm.ppf(0.975))
    interval90 = (value - narrower * below, value + narrower * above)
    return Effect(value, interval90, (value - below, value + above), 1)


def _differences(rows: pd.DataFrame, measure: str, arm: str) -> tuple[pd.DataFrame, str]:
    """By seed: reading minus benign twin, and how far its 95 % interval reaches below and above. Then why seeds are
    missing, if any are.

    The limits of a difference follow from those of its parts, which need not be symmetric: Zou and Donner, Stat. Med.
    27 (2008), eq. 3. Both parts see the same images; ignoring that makes the interval too wide, not too narrow.
    """
    rows = select(rows, arm=arm, measure=measure, **PRIMARY[measure])
    differences, missing = {}, []
    for seed, run in rows.groupby("seed"):
        readings, twins = run[(run.reference == "") & (run.other_run == "")], run[run.reference == "benign"]
        if readings.empty or twins.empty:
            missing.append(f"{arm} seed {seed}: no {'reading' if readings.empty else 'benign twin'} of {measure}")
            continue
        reading, twin = readings.iloc[0], twins.iloc[0]
        both = (("reading", reading), ("benign twin", twin))
        if bad := [f"{name} is {row['status']}" for name, row in both if row["status"] != "ok"]:
            missing.append(f"{arm} seed {seed}: {measure} {' and '.join(bad)}")
            continue
        below = math.hypot(reading["value"] - reading["ci_low"], twin["ci_high"] - twin["value"])
        above = math.hypot(reading["ci_high"] - reading["value"], twin["value"] - twin["ci_low"])
        differences[seed] = (reading["value"] - twin["value"], below, above)
    if rows.empty:
        missing.append(f"{arm}: no rows of {measure}")
    table = pd.DataFrame.from_dict(differences, orient="index", columns=["value", "below", "above"])
    return table, "; ".join(missing)


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on C2, C3 and C4 from the rows of runs: one row a claim, arm and primary reading.

    Columns are :data:`CLAIM_COLUMNS`. An attack on a trained model is no way of learning: no claim is about it.
    """
    present = [arm for arm in ARMS if arm in set(rows["arm"]) and ARMS[arm].poisons_data]
    supervised = [arm for arm in present if ARMS[arm].learner == "supervised"]
    labelled = [arm for arm in present if ARMS[arm].labelled]
    contrastive = [arm for arm in present if not ARMS[arm].labelled]
    tests: list[tuple[str, str, str | None]] = [("C2", arm, None) for arm in supervised]
    for arm in contrastive:
        tests += [("C3", arm, None), *(("C4", arm, other) for other in labelled)]
    effects = [{measure: effect(rows, measure, arm, against) for measure in PRIMARY} for _, arm, against in tests]
    ps = [_p(claim, list(found.values())) for (claim, _, _), found in zip(tests, effects, strict=True)]
    table = []
    for (claim, arm, against), found, p, adjusted in zip(tests, effects, ps, holm(ps), strict=True):
        table += _claim(claim, arm, against, found, p, adjusted)
    return pd.DataFrame(table, columns=CLAIM_COLUMNS)


def predicates() -> dict[str, object]:
    """What decides a verdict, as plain JSON: a study writes it down before it starts."""
    return {
        "claims": STATEMENTS,
        "primary readings, minus the benign twin": PRIMARY,
        "margin": MARGIN,
        "level": LEVEL,
        "adjusted by": "Holm, over all claims of a table",
        "seeds for a verdict": ENOUGH_SEEDS,
        "rules": __doc__,
    }


def _p(claim: str, effects: Sequence[Effect]) -> float:
    """The larger p of both readings (intersection-union); NaN where one cannot be tested."""
    if any(e.why or e.seeds < 2 for e in effects):
        return float("nan")
    if claim == "C2":
        return max(e.p_within(MARGIN) for e in effects)
    return max(e.p_above(threshold_of(claim)) for e in effects)


def _claim(
    claim: str, arm: str, against: str | None, effects: Mapping[str, Effect], p: float, adjusted: float
) -> list[dict[str, object]]:
    decided = verdict(claim, list(effects.values()), adjusted)
    return [
        {
            "claim": claim,
            "statement": STATEMENTS[claim],
            "arm": arm,
            "against": against or f"{ARMS[arm].benign} (benign twin)",
            "measure": measure,
            "effect": e.value,
            "ci90_low": e.interval90[0],
            "ci90_high": e.interval90[1],
            "ci_low": e.interval95[0],
            "ci_high": e.interval95[1],
            "seeds": e.seeds,
            "p": p,
            "p_holm": adjusted,
            "verdict": decided,
            "why": e.why or e.left_out,
        }
        for measure, e in effects.items()
    ]
