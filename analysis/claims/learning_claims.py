"""The paper's claims as predicates on rows, written down before any study starts.

The operationalisation is ours, not the paper's. Primary readings, each as a difference to the same method's clean
encoder on the same images: neighbour mixing on hits at the output, and gradient alignment over all weights.

- **C2**, supervised arms learn the tasks *independently*: an equivalence claim. Supported if the 90 % interval of both
  differences lies inside ±margin (two one-sided tests at 5 %); not supported if a 95 % interval lies outside of it.
- **C3**, contrastive learning *intertwines* them: supported if both differences exceed the margin (one-sided tests at
  5 %; intersection-union), not supported if the 95 % interval of one of them lies below it.
- **C4**, contrastive and supervised arms *differ*: contrast of the differences, contrastive minus each poisoned
  supervised or SupCon arm apart, so that the loss is not confounded with the labels. Supported if both contrasts are
  above 0, not supported if the 95 % interval of one of them lies below it.

Both readings must pass, so that the p of a claim is the larger of theirs; over all claims of a table it is adjusted by
Holm's procedure, and "supported" asks for an adjusted p of at most .05. A seed whose reading or benign twin is not
``ok`` is left out and named; where it is half of the seeds or more, the claim is *not evaluable*. Anything else is
*inconclusive*. Across runs the seed is the unit: paired t tests and intervals. With one seed the interval is that of
the images of one run and there is no p, and with fewer than ten the verdict is only "indicative".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from scipy import stats

from ...probes.nulls import t_interval
from ...training.arms import ARMS
from ..results.measures import PRIMARY
from ..results.table import select

__all__ = ["CLAIM_COLUMNS", "MARGIN", "Effect", "effect", "holm", "judge", "predicates", "verdict"]

MARGIN = 0.1
"""Half-width of "the same", in units of either primary reading: both are 1 where the tasks are fully intertwined. For
mixing, whose benign twin is near 0, it is a tenth of the scale; for alignment, whose benign twin is often negative,
less."""

ENOUGH_SEEDS = 10
LEVEL = 0.05

STATEMENTS = {
    "C2": "the supervised arm learns its two tasks independently",
    "C3": "contrastive learning intertwines its two tasks",
    "C4": "contrastive intertwines them more than this arm does",
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
    "p",
    "p_holm",
    "verdict",
    "why",
]


@dataclass(frozen=True)
class Effect:
    """A benign twin-corrected reading, or a contrast of two: value with 90 and 95 % intervals over ``seeds`` runs.
    ``why``: what is missing, if anything."""

    value: float
    interval90: tuple[float, float]
    interval95: tuple[float, float]
    seeds: int
    why: str = ""
    values: tuple[float, ...] = ()
    """One a seed, where there are several."""
    left_out: str = ""
    """The seeds that could not be used, and why: fewer than half."""

    def p_above(self, threshold: float) -> float:
        """One-sided p that the mean over seeds is above; NaN with one seed."""
        if len(self.values) < 2:
            return float("nan")
        if len(set(self.values)) == 1:  # the test has no answer, and ours is plain
            return 0.0 if self.values[0] > threshold else 1.0
        return float(stats.ttest_1samp(self.values, threshold, alternative="greater").pvalue)

    def p_within(self, margin: float) -> float:
        """Of equivalence: the larger of the two one-sided p (TOST)."""
        mirrored = replace(self, values=tuple(-v for v in self.values))
        return max(self.p_above(-margin), mirrored.p_above(-margin))


def effect(rows: pd.DataFrame, measure: str, arm: str, against: str | None = None) -> Effect:
    """(arm − benign twin), or (arm − benign twin) − (against − benign twin) paired by seed."""
    parts = [_differences(rows, measure, a) for a in ([arm] if against is None else [arm, against])]
    missing = "; ".join(why for _, why in parts if why)
    tables = [t for t, _ in parts]
    seeds = sorted(set.intersection(*(set(t.index) for t in tables)))
    tried = len(set(rows[rows["arm"].isin([arm, against])]["seed"]))
    if not seeds or 2 * len(seeds) <= tried:
        nothing = (float("nan"), float("nan"))
        return Effect(float("nan"), nothing, nothing, len(seeds), missing or "no seed has all the arms needed")
    signs = (1.0, -1.0)
    values = sum(sign * t.loc[seeds, "value"] for sign, t in zip(signs, tables, strict=False))
    assert isinstance(values, pd.Series)
    if len(seeds) > 1:
        data = torch.tensor(values.to_numpy(dtype=float))
        intervals = t_interval(data, level=0.9), t_interval(data)
        left_out = f"left out: {missing}" if missing else ""
        return Effect(float(data.mean()), *intervals, len(seeds), values=tuple(data.tolist()), left_out=left_out)
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
    """Reading minus benign twin and how far its 95 % interval reaches below and above, by seed; and why a seed cannot
    be used.

    The limits of a difference from those of its parts, which need not be symmetric: Zou and Donner, Stat. Med. 27
    (2008), eq. 3. The parts are measured on the same images; ignoring that errs on the wide side.
    """
    rows = select(rows, arm=arm, measure=measure, **PRIMARY[measure])
    differences, missing = {}, []
    for seed, run in rows.groupby("seed"):
        readings, benign_twins = run[(run.reference == "") & (run.other_run == "")], run[run.reference == "benign"]
        if readings.empty or benign_twins.empty:
            missing.append(f"{arm} seed {seed}: no {'reading' if readings.empty else 'benign'} of {measure}")
            continue
        reading, benign = readings.iloc[0], benign_twins.iloc[0]
        bad = [
            f"{who} is {r['status']}" for who, r in (("reading", reading), ("benign", benign)) if r["status"] != "ok"
        ]
        if bad:
            missing.append(f"{arm} seed {seed}: {measure} {' and '.join(bad)}")
            continue
        below = math.hypot(reading["value"] - reading["ci_low"], benign["ci_high"] - benign["value"])
        above = math.hypot(reading["ci_high"] - reading["value"], benign["value"] - benign["ci_low"])
        differences[seed] = (reading["value"] - benign["value"], below, above)
    if rows.empty:
        missing.append(f"{arm}: no rows of {measure}")
    table = pd.DataFrame.from_dict(differences, orient="index", columns=["value", "below", "above"])
    return table, "; ".join(missing)


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on C2, C3 and C4 from the rows of runs: one row a claim, arm and primary reading
    (:data:`CLAIM_COLUMNS`). An attack on a trained model is no way of learning: no claim is about it."""
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


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of several p (Scand. J. Stat. 6, 1979); NaN are no tests and stay.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted((i for i, p in enumerate(ps) if p == p), key=lambda i: ps[i])
    adjusted, largest = [float("nan")] * len(ps), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted


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
    """Of both readings passing: the larger p (intersection-union); NaN where one cannot be tested."""
    if any(e.why or e.seeds < 2 for e in effects):
        return float("nan")
    if claim == "C2":
        return max(e.p_within(MARGIN) for e in effects)
    return max(e.p_above(MARGIN if claim == "C3" else 0.0) for e in effects)


def _claim(
    claim: str, arm: str, against: str | None, effects: Mapping[str, Effect], p: float, adjusted: float
) -> list[dict[str, object]]:
    told = verdict(claim, list(effects.values()), adjusted)
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
            "verdict": told,
            "why": e.why or e.left_out,
        }
        for measure, e in effects.items()
    ]


def verdict(claim: str, effects: Sequence[Effect], adjusted: float) -> str:
    """In words; with fewer seeds than :data:`ENOUGH_SEEDS` only "indicative".

    Args:
        adjusted: p over all claims, NaN with one seed, where the intervals of its images decide.
    """
    if any(e.why for e in effects):
        return "not evaluable"
    told = _decided(claim, effects, adjusted)
    return told if min(e.seeds for e in effects) >= ENOUGH_SEEDS else f"indicative: {told}"


def _decided(claim: str, effects: Sequence[Effect], adjusted: float) -> str:
    alone = adjusted != adjusted
    if claim == "C2":
        inside = all(e.interval90[0] > -MARGIN and e.interval90[1] < MARGIN for e in effects)
        if inside if alone else adjusted <= LEVEL:
            return "supported"
        outside = any(e.interval95[0] > MARGIN or e.interval95[1] < -MARGIN for e in effects)
        return "not supported" if outside else "inconclusive"
    threshold = MARGIN if claim == "C3" else 0.0
    if all(e.interval95[0] > threshold for e in effects) if alone else adjusted <= LEVEL:
        return "supported"
    return "not supported" if any(e.interval95[1] < threshold for e in effects) else "inconclusive"
