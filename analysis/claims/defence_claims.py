"""C5 as a predicate on what came of defences.

The operationalisation is ours, not the paper's. **C5**: defences that are made for supervised backdoors do less against
a contrastive one. The effect of a detector is its AUROC, with the labels that the defender has; the effect of a
mitigation is the share of ASR above the benign twin that it removes (``removed``, at most 1), each encoder's benign
twin being its clean twin under the same treatment. The contrast is the effect on a supervised (or SupCon) arm minus
that on the contrastive one, paired by seed, at the same share of poison in the target's class, against each arm apart;
and over defences their mean.

The claim is made twice, of detectors and of mitigations: supported if the mean contrast is above 0 (one-sided t test
over seeds, p adjusted by Holm over all claims of a table, 5 %), not supported if its 95 % interval lies below 0, else
inconclusive. Means are over the classic defences, those published for supervised backdoors, that have an effect in
every seed that counts; those that have not are named. Seeds in which one of the two attacks did not work
(:data:`.panel.EVALUABLE`) are left out; where they are half of the seeds or more the claim is *not evaluable*. With
fewer than ten seeds a verdict is only "indicative".

Beside these, and deciding nothing: single defences, the other ones too; what ACC costs; and detectors with true labels
where an arm has none, since a contrast with pseudo-labels is one of k-means as well.
"""

from dataclasses import replace
from typing import cast

import pandas as pd
import torch

from ...probes.nulls import t_interval
from ...training.arms import ARMS
from ..defences.catalogue import DETECTORS, MITIGATIONS, UNTREATED
from ..defences.outcomes import USELESS
from ..results.schema import DEFAULT_EVALUATOR, EVALUABLE
from .learning_claims import ENOUGH_SEEDS, LEVEL, Effect, holm, verdict

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
NOTHING = (float("nan"), float("nan"))


Contrast = tuple[dict[str, object], Effect]


def predicates_c5(evaluator: str = DEFAULT_EVALUATOR) -> dict[str, object]:
    """What decides a verdict, as plain JSON."""
    by = {"evaluator": evaluator} if evaluator != DEFAULT_EVALUATOR else {}
    return by | {
        "claim": "C5: defences made for supervised backdoors do less against a contrastive one",
        "classic defences": CLASSIC,
        "an attack works from, ASR above its benign twin": EVALUABLE,
        "an encoder is of no use from, ACC lost": USELESS,
        "level": LEVEL,
        "adjusted by": "Holm, over all claims of a table",
        "seeds for a verdict": ENOUGH_SEEDS,
        "rules": __doc__,
    }


def judge_defences(detected: pd.DataFrame, treated: pd.DataFrame) -> pd.DataFrame:
    """C5 from the tables of :mod:`.outcomes`: :data:`C5_COLUMNS`. Lines whose ``defence`` is ``all`` have verdicts."""
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
                seeds = both.index[both.all(axis=1)].tolist()
                blocked = (
                    "" if 2 * len(seeds) > len(both) else f"both attacks work in {len(seeds)} of {len(both)} seeds"
                )
                for kind, measure in EFFECTS:
                    own = tables[kind == MITIGATION]
                    mine, other = (_effects(own[own["arm"] == name], kind, measure) for name in (arm, against))
                    contrast = (other - mine).reindex(seeds)
                    found += _contrasts(contrast, about | {"kind": kind, "measure": measure}, blocked)
    judged = [
        i
        for i, (about, _) in enumerate(found)
        if about["defence"] == ALL and (about["kind"], about["measure"]) in DECIDING
    ]
    p = [float("nan") if found[i][1].why else found[i][1].p_above(0.0) for i in judged]
    verdicts = {
        i: {"p": own, "p_holm": adjusted, "verdict": verdict("C5", [found[i][1]], adjusted)}
        for i, own, adjusted in zip(judged, p, holm(p), strict=True)
    }
    lines = [about | _numbers(effect) | verdicts.get(i, {}) for i, (about, effect) in enumerate(found)]
    return pd.DataFrame(lines, columns=C5_COLUMNS)


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
    mean = _over_seeds(contrast[whole].mean(axis=1) if whole else pd.Series(dtype=float), why)
    lines = [(about | {"defence": ALL}, replace(mean, left_out=f"left out: {missing}" if missing else ""))]
    return lines + [(about | {"defence": name}, _over_seeds(contrast[name].dropna(), blocked)) for name in names]


def _over_seeds(values: pd.Series, why: str) -> Effect:
    data = torch.tensor(values.to_numpy(dtype=float))
    if len(data) < 2:
        value = float(data.mean()) if len(data) else float("nan")
        return Effect(value, NOTHING, NOTHING, len(data), why or "fewer than two seeds have no interval")
    return Effect(
        float(data.mean()), t_interval(data, level=0.9), t_interval(data), len(data), why, tuple(data.tolist())
    )


def _numbers(effect: Effect) -> dict[str, object]:
    return {
        "effect": effect.value,
        **dict(zip(("ci90_low", "ci90_high"), effect.interval90, strict=True)),
        **dict(zip(("ci_low", "ci_high"), effect.interval95, strict=True)),
        **{"seeds": effect.seeds, "p": float("nan"), "p_holm": float("nan"), "verdict": ""},
        "why": "; ".join(filter(None, (effect.why, effect.left_out))),
    }
