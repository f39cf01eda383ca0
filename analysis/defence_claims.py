"""C5 as a predicate on what came of defences, written down before the study was made.

The operationalisation is ours, not the paper's. **C5**: defences that are made for supervised backdoors do less against
a contrastive one. The effect of a detector is its AUROC, with the labels that the defender has; the effect of a
mitigation is the share of ASR above the floor that it removes, ``removed``, each encoder's floor being its clean twin
under the same treatment. The contrast is the effect on a supervised (or SupCon) arm minus that on the contrastive one,
paired by seed, at the same share of poison in the target's class, against each arm apart; and over defences their mean.

The claim is made twice, of detectors and of mitigations: supported if the mean contrast is above 0 (one-sided t test
over seeds, p adjusted by Holm over all claims of a table, 5 %), not supported if its 95 % interval lies below 0, else
inconclusive. Means are over the defences that have an effect in every seed that counts; the others are named. Left out
are oracles, the baseline that knows nothing of backdoors, and seeds in which one of the two attacks did not work
(:data:`.panel.EVALUABLE`); where they are half of the seeds or more the claim is *not evaluable*. With fewer than ten
seeds a verdict is only "indicative". What ACC costs stands beside, and decides nothing.

Lines of single defences show where a mean comes from: effect and interval, no p and no verdict.
"""

from dataclasses import replace
from typing import cast

import pandas as pd
import torch

from ..probes.nulls import t_interval
from ..training.poison import ARMS
from .claims import Effect, holm, verdict
from .defences.catalogue import BASELINE, DETECTORS, MITIGATIONS, TRIGGER, UNTREATED

__all__ = ["C5_COLUMNS", "judge_defences"]

C5_COLUMNS = [
    *("claim", "recipe", "share", "arm", "against", "kind", "measure", "defence", "effect"),
    *("ci90_low", "ci90_high", "ci_low", "ci_high", "seeds", "p", "p_holm", "verdict", "why"),
]
ALL = "all"

JUDGED = {
    "detection": tuple(name for name in DETECTORS if name != BASELINE),
    "mitigation": tuple(n for n, m in MITIGATIONS.items() if n != UNTREATED and TRIGGER not in m.needs),
}
EFFECTS = (("detection", "auroc"), ("mitigation", "removed"), ("mitigation", "acc_lost"))
NOTHING = (float("nan"), float("nan"))


Contrast = tuple[dict[str, object], Effect]


def judge_defences(detected: pd.DataFrame, treated: pd.DataFrame) -> pd.DataFrame:
    """C5 from the tables of :mod:`.outcomes`: :data:`C5_COLUMNS`. Lines whose ``defence`` is ``all`` have verdicts."""
    worked = treated[treated["defence"] == UNTREATED].set_index(["recipe", "share", "arm", "seed"])["worked"]
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
                blocked = "" if 2 * both.all(axis=1).sum() > len(both) else _blocked(both)
                seeds = both.index[both.all(axis=1)].tolist()
                for kind, measure in EFFECTS:
                    own = tables[kind == "mitigation"]
                    own = own[own["labels"] != "true"] if kind == "detection" else own
                    effects = [
                        own[own["arm"] == n].pivot_table(index="seed", columns="defence", values=measure)
                        for n in (against, arm)
                    ]
                    contrast = (effects[0] - effects[1]).reindex(seeds)
                    found += _contrasts(contrast, about | {"kind": kind, "measure": measure}, blocked)
    judged = [i for i, (about, _) in enumerate(found) if about["defence"] == ALL and about["measure"] != "acc_lost"]
    p = [float("nan") if found[i][1].why else found[i][1].p_above(0.0) for i in judged]
    verdicts = {
        i: {"p": own, "p_holm": adjusted, "verdict": verdict("C5", [found[i][1]], adjusted)}
        for i, own, adjusted in zip(judged, p, holm(p), strict=True)
    }
    lines = [about | _numbers(effect) | verdicts.get(i, {}) for i, (about, effect) in enumerate(found)]
    return pd.DataFrame(lines, columns=C5_COLUMNS)


def _blocked(both: pd.DataFrame) -> str:
    return f"both attacks work in {int(both.all(axis=1).sum())} of {len(both)} seeds"


def _contrasts(contrast: pd.DataFrame, about: dict[str, object], blocked: str) -> list[Contrast]:
    """The mean over defences, then each of them. ``contrast``: one line a seed, one column a defence."""
    names = [name for name in JUDGED[str(about["kind"])] if name in contrast]
    whole = [name for name in names if len(contrast) and contrast[name].notna().all()]
    why = blocked or ("" if whole else "no defence has an effect in every seed")
    missing = ", ".join(name for name in names if name not in whole)
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
