"""C5 as a predicate on what came of defences.

The operationalisation is ours, not the paper's. **C5**: defences made for supervised backdoors do less against a
contrastive one.

The effect of a detector is its AUROC, with the labels that the defender has. The effect of a mitigation is the share
of ASR above the benign twin that it removes (``removed``, at most 1). The benign twin of a treated encoder has had the
same treatment. The contrast is the effect on a supervised (or SupCon) arm minus that on the contrastive one. It is
paired by seed, at the same share of poison in the target's class, and taken against each arm apart.

The claim is made twice, for detectors and for mitigations, of the mean contrast over the classic defences. Supported:
the mean contrast is above 0 by a one-sided t test over seeds, at 5 %. Holm's procedure adjusts p over all claims of a
table. Not supported: the 95 % interval lies below 0. Anything else is inconclusive. Classic defences were published
for supervised backdoors. Those without an effect in every seed that counts are left out and named. A seed counts if
both attacks work (:data:`..results.schema.BACKDOORED`). If half of the seeds or more do not count, the claim is *not
evaluable*. With fewer than ten seeds a verdict is only "indicative".

Reported beside these, without deciding anything: each defence alone, defences that are not classic, and the ACC lost.
So are detectors with true labels where an arm has none: a contrast with pseudo-labels is one of k-means as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import pandas as pd

from ...training.arms import ARMS
from ..defences.catalogue import DETECTORS, MITIGATIONS, UNTREATED
from ..defences.outcomes import USELESS
from ..results.schema import BACKDOORED, DEFAULT_EVALUATOR
from .statistics import Effect, holm, over_seeds
from .verdicts import ENOUGH_SEEDS, LEVEL

__all__ = ["C5_COLUMNS", "CLASSIC", "judge_defences", "predicates_c5"]

C5_COLUMNS = [
    *("claim", "recipe", "share", "arm", "against", "kind", "measure", "defence", "effect"),
    *("ci90_low", "ci90_high", "ci_low", "ci_high", "seeds", "p", "p_holm", "verdict", "why"),
]
ALL = "all"

CLASSIC = {
    "detection": ("activation-clustering", "spectral", "scan", "beatrix", "strip", "abl"),
    "mitigation": ("fine-tuning", "fine-pruning", "clp", "anp", "nad", "i-bau", "abl-unlearning"),
}
DETECTION, LABELLED, MITIGATION = "detection", "detection, true labels", "mitigation"
EFFECTS = ((DETECTION, "auroc"), (LABELLED, "auroc"), (MITIGATION, "removed"), (MITIGATION, "acc_lost"))
DECIDING = EFFECTS[0], EFFECTS[2]

Contrast = tuple[dict[str, object], Effect]


def predicates_c5(evaluator: str = DEFAULT_EVALUATOR) -> dict[str, object]:
    """What decides a verdict, as plain JSON."""
    by = {"evaluator": evaluator} if evaluator != DEFAULT_EVALUATOR else {}
    return by | {
        "claim": "C5: defences made for supervised backdoors do less against a contrastive one",
        "classic defences": CLASSIC,
        "an attack works from, ASR above its benign twin": BACKDOORED,
        "an encoder is of no use from, ACC lost": USELESS,
        "level": LEVEL,
        "adjusted by": "Holm, over all claims of a table",
        "seeds for a verdict": ENOUGH_SEEDS,
        "rules": __doc__,
    }


def judge_defences(detected: pd.DataFrame, treated: pd.DataFrame) -> pd.DataFrame:
    """C5 from the tables of :mod:`..defences.outcomes`: columns :data:`C5_COLUMNS`. Lines whose ``defence`` is ``all``
    have verdicts."""
    attacks = treated[treated["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)]
    worked = attacks[attacks["defence"] == UNTREATED].set_index(["recipe", "share", "arm", "seed"])["worked"]
    found: list[Contrast] = []
    for place, of_share in worked.groupby(level=["recipe", "share"], sort=True):
        recipe, share = cast("tuple[str, float]", place)
        by_arm = of_share.droplevel(["recipe", "share"])
        present = [arm for arm in ARMS if arm in set(by_arm.index.get_level_values("arm"))]
        tables = [t[(t["recipe"] == recipe) & (t["share"] == share)] for t in (detected, treated)]
        for arm in (a for a in present if not ARMS[a].labelled):
            for against in (a for a in present if ARMS[a].labelled):
                about = {"claim": "C5", "recipe": recipe, "share": share, "arm": arm, "against": against}
                both = pd.DataFrame({name: by_arm.loc[name] for name in (arm, against)}).dropna().astype(bool)
                found += _of_pair(tables, about, both)
    deciding = [i for i, (about, _) in enumerate(found) if _decides(about)]
    p = [float("nan") if found[i][1].why else found[i][1].p_above(0.0) for i in deciding]
    verdicts = {
        i: {"p": own, "p_holm": adjusted, "verdict": _verdict(found[i][1], adjusted)}
        for i, own, adjusted in zip(deciding, p, holm(p), strict=True)
    }
    lines = [about | _numbers(effect) | verdicts.get(i, {}) for i, (about, effect) in enumerate(found)]
    return pd.DataFrame(lines, columns=C5_COLUMNS)


def _verdict(effect: Effect, adjusted: float) -> str:
    if effect.why:
        return "not evaluable"
    below = effect.interval95[1] < 0
    decided = "supported" if adjusted <= LEVEL else "not supported" if below else "inconclusive"
    return decided if effect.seeds >= ENOUGH_SEEDS else f"indicative: {decided}"


def _decides(about: Mapping[str, object]) -> bool:
    return about["defence"] == ALL and (about["kind"], about["measure"]) in DECIDING


def _of_pair(tables: Sequence[pd.DataFrame], about: dict[str, object], both: pd.DataFrame) -> list[Contrast]:
    """The contrasts of two arms. ``tables``: of detectors and of mitigations. ``both``: whether each attack works, one
    line a seed."""
    seeds = both.index[both.all(axis=1)].tolist()
    enough = 2 * len(seeds) > len(both)
    blocked = "" if enough else f"both attacks work in {len(seeds)} of {len(both)} seeds"
    found: list[Contrast] = []
    for kind, measure in EFFECTS:
        table = tables[kind == MITIGATION]
        own, other = (_effects(table[table["arm"] == about[role]], kind, measure) for role in ("arm", "against"))
        contrast = (other - own).reindex(seeds)
        found += _contrasts(contrast, about | {"kind": kind, "measure": measure}, blocked)
    return found


def _effects(table: pd.DataFrame, kind: str, measure: str) -> pd.DataFrame:
    """One line a seed, one column a defence."""
    if kind == DETECTION:
        table = table[table["labels"] != "true"]
    elif kind == LABELLED:  # what an arm learned from, or the truth where it learned from none
        table = table[table["labels"] != ("true" if "given" in set(table["labels"]) else "pseudo")]
    return table.pivot_table(index="seed", columns="defence", values=measure)


def _contrasts(contrast: pd.DataFrame, about: dict[str, object], blocked: str) -> list[Contrast]:
    """The mean over the classic defences, then each one. ``contrast``: one line a seed, one column a defence."""
    kind = str(about["kind"]).partition(",")[0]
    # Without the seeds in which none of them was tried.
    contrast = contrast.drop(columns=UNTREATED, errors="ignore").dropna(how="all")
    known = DETECTORS if kind == DETECTION else MITIGATIONS
    names = [name for name in known if name in contrast]
    classic = [name for name in names if name in CLASSIC[kind]]
    whole = [name for name in classic if len(contrast) and contrast[name].notna().all()]
    why = blocked or ("" if whole else "no classic defence has an effect in every seed")
    missing = ", ".join(name for name in classic if name not in whole)
    mean = over_seeds(contrast[whole].mean(axis=1) if whole else pd.Series(dtype=float), why=why)
    lines = [(about | {"defence": ALL}, replace(mean, left_out=f"left out: {missing}" if missing else ""))]
    return lines + [(about | {"defence": name}, over_seeds(contrast[name].dropna(), why=blocked)) for name in names]


def _numbers(effect: Effect) -> dict[str, object]:
    return {
        "effect": effect.value,
        **dict(zip(("ci90_low", "ci90_high"), effect.interval90, strict=True)),
        **dict(zip(("ci_low", "ci_high"), effect.interval95, strict=True)),
        **{"seeds": effect.seeds, "p": float("nan"), "p_holm": float("nan"), "verdict": ""},
        "why": "; ".join(filter(None, (effect.why, effect.left_out))),
    }
