"""Tables of what came of defences, over seeds, as text."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ...training.arms import ARMS
from ..claims.defence_claims import ALL, DECIDING
from ..defences.catalogue import BASELINE, DETECTORS, INSPECTIONS, MITIGATIONS, UNTREATED, Defence
from .formatting import MISSING, interval, number, over_seeds, probability

__all__ = [
    "c5_table",
    "cost_table",
    "detection_table",
    "false_positives",
    "inspection_table",
    "is_repaired",
    "mitigation_table",
    "needs_table",
    "refusals",
]

REPAIRED = {"asr": 0.2, "acc_lost": 0.05}
"""Below this ASR, and at most so much ACC lost."""

EFFECTS = {"auroc": "AUROC", "removed": "ASR removed", "acc_lost": "ACC lost"}


def c5_table(claims: pd.DataFrame) -> pd.DataFrame:
    """One line a contrast and defence; of effects that decide nothing, the means only."""
    deciding = pd.Series(list(zip(claims["kind"], claims["measure"], strict=True)), index=claims.index).isin(DECIDING)
    claims = claims[deciding | (claims["defence"] == ALL)]
    return pd.DataFrame(
        {
            "recipe": line["recipe"],
            "share": f"{line['share']:g}",
            "arm": line["arm"],
            "against": line["against"],
            "of": EFFECTS[line["measure"]] + line["kind"].partition("detection")[2],
            "defence": f"**{ALL}**" if line["defence"] == ALL else line["defence"],
            "effect": number(line["effect"]),
            "95 % interval": interval(line["ci_low"], line["ci_high"]),
            "seeds": str(line["seeds"]),
            "p (Holm)": probability(line["p_holm"]),
            "verdict": line["verdict"],
            "because": line["why"],
        }
        for _, line in claims.iterrows()
    )


def detection_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a recipe, share, detector, source of labels and poisoned arm."""
    lines = []
    baseline = table[table["defence"] == BASELINE]
    poisoned = table[table["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)]
    for (recipe, share, arm, defence, labels), own in _grouped(poisoned, DETECTORS, "labels"):
        same = (baseline["recipe"] == recipe) & (baseline["share"] == share) & (baseline["arm"] == arm)
        # Detectors that read no labels are compared with the baseline on the labels that the defender has.
        same &= (baseline["labels"] == labels) if labels else (baseline["labels"] != "true")
        beyond = (own.set_index("seed")["auroc"] - baseline[same].set_index("seed")["auroc"]).dropna()
        is_baseline = defence == BASELINE
        lines.append(
            {
                **{"recipe": recipe, "share": f"{share:g}", "arm": arm, "detector": defence},
                "labels": labels or "none",
                "in group": number(own["in_group"].mean()),
                "AUROC": number(own["auroc"].mean()),
                "95 % interval": over_seeds(own["auroc"].dropna(), rate=True),
                "minus class-density": MISSING if is_baseline else number(beyond.mean()),
                "its 95 % interval": MISSING if is_baseline else over_seeds(beyond),
                "AUPRC": number(own["auprc"].mean()),
                "of a random order": number(own["auprc_random"].mean()),
                "TPR": number(own["tpr"].mean()),
                "FPR": number(own["fpr"].mean()),
                "seeds": f"{own['fpr'].notna().sum()} of {len(own)}",
            }
        )
    return pd.DataFrame(lines)


def false_positives(table: pd.DataFrame) -> pd.DataFrame:
    """Of each detector on each benign arm: mean and, in brackets, largest."""
    clean = table[table["arm"].map(lambda arm: not ARMS[arm].is_poisoned).astype(bool) & (table["labels"] != "true")]
    lines = []
    for (recipe, arm), own in clean.groupby(["recipe", "arm"], sort=False):
        by_name = own.groupby("defence")["fpr"]
        means, largest = by_name.mean(), by_name.max()
        names = [name for name in DETECTORS if name in by_name.groups]
        rates = {name: f"{number(means[name])} ({number(largest[name])})" for name in names}
        lines.append({"recipe": recipe, "arm": arm, **rates, "seeds": str(own["seed"].nunique())})
    return pd.DataFrame(lines).fillna(MISSING)


def inspection_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a recipe, share, inspection and arm."""
    lines = []
    for (recipe, share, arm, defence), own in _grouped(table, INSPECTIONS):
        lines.append(
            {
                **{"recipe": recipe, "share": f"{share:g}", "arm": arm, "inspection": defence},
                "flagged": number(own["flagged"].mean()),
                "names the target": number(own["target"].mean()),
                "score": number(own["score"].mean()),
                "lowest and highest": f"{number(own['score'].min())} to {number(own['score'].max())}",
                "seeds": str(own["flagged"].notna().sum()),
            }
        )
    return pd.DataFrame(lines)


def mitigation_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a recipe, share, arm and mitigation."""
    lines = []
    for (recipe, share, arm, defence), own in _grouped(table, MITIGATIONS):
        treated = own.dropna(subset=["asr"])
        repaired = is_repaired(treated)
        lines.append(
            {
                **{"recipe": recipe, "share": f"{share:g}", "arm": arm, "mitigation": defence},
                "ASR": number(treated["asr"].mean()),
                "95 % interval": over_seeds(treated["asr"], rate=True) if len(treated) else MISSING,
                "benign twin's ASR": number(treated["benign_asr"].mean()),
                "R-Acc": number(treated["r_acc"].mean()),
                "ACC": number(treated["acc"].mean()),
                "ACC lost": number(treated["acc_lost"].mean()),
                "its 95 % interval": over_seeds(treated["acc_lost"]) if len(treated) else MISSING,
                "benign twin's ACC lost": number(treated["benign_acc_lost"].mean()),
                "mixing": number(treated["neighbour_mixing"].mean()),
                "repaired": MISSING if defence == UNTREATED else f"{repaired.sum()} of {treated['worked'].sum()}",
            }
        )
    return pd.DataFrame(lines)


def is_repaired(treated: pd.DataFrame) -> "pd.Series[bool]":
    """Of each treated encoder: whether its attack worked and is gone, at little cost."""
    return (treated["asr"] < REPAIRED["asr"]) & (treated["acc_lost"] <= REPAIRED["acc_lost"]) & treated["worked"]


def refusals(rows: pd.DataFrame) -> pd.DataFrame:
    """Defence, arm, and the reason."""
    first_of_each = ["detection_fpr", "inspection_flagged", "acc"]
    undefined = rows[(rows["status"] == "undefined") & rows["measure"].isin(first_of_each)]
    table = undefined[undefined["defence"] != ""][["defence", "arm", "note"]]
    return table.rename(columns={"note": "because"}).drop_duplicates()


def needs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What each defence in the rows needs."""
    tried = set(rows["defence"])
    kinds: dict[str, Mapping[str, Defence[Any]]] = {
        **{"detector": DETECTORS, "inspection": INSPECTIONS, "mitigation": MITIGATIONS}
    }
    return pd.DataFrame(
        {"defence": name, "kind": kind, "needs": ", ".join(defence.needs) or "nothing"}
        for kind, table in kinds.items()
        for name, defence in table.items()
        if name in tried and name != UNTREATED
    )


def cost_table(*tables: pd.DataFrame) -> pd.DataFrame:
    """Mean wall and CPU seconds of each defence."""
    both = pd.concat([t[["defence", "wall_s", "cpu_s"]] for t in tables if len(t)], ignore_index=True)
    means = both[both["defence"] != UNTREATED].groupby("defence", sort=False)
    return pd.DataFrame(
        {
            "defence": name,
            "wall s": f"{own['wall_s'].mean():.1f}",
            "CPU s": f"{own['cpu_s'].mean():.1f}",
            "cells": str(len(own)),
        }
        for name, own in means
    )


def _grouped(table: pd.DataFrame, order: Iterable[str], *more: str) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """By recipe, share, arm and defence, in the order of the tables of arms and of defences."""
    keys = ["recipe", "share", "arm", "defence", *more]
    arms, names = list(ARMS), list(order)
    groups: list[tuple[Any, pd.DataFrame]] = list(table.groupby(keys, sort=False))
    return sorted(groups, key=lambda g: (g[0][0], g[0][1], arms.index(g[0][2]), names.index(g[0][3]), *g[0][4:]))
