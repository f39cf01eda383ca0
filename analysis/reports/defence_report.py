"""What came of the defences, as tables over seeds, figures, the verdicts on C5 and one page, all from rows alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...training.arms import ARMS
from ..claims.defence_claims import ALL, DECIDING
from ..defences.catalogue import BASELINE, DETECTORS, INSPECTIONS, MITIGATIONS, UNTREATED, Defence
from ..defences.outcomes import detections, inspections, mitigations
from ..results.schema import EVALUATOR_TITLES
from ..results.table import read_rows
from .defence_drawing import CAPTIONS
from .readings_table import markdown, number, over_seeds, probability

__all__ = ["defence_tables", "write_defence_report"]

SHARE = "Share: of the target's class, as the arm knows it, that is poisoned, to a tenth."

CLAIM = f"""\
Effect on the supervised arm minus effect on the contrastive one, paired by seed: of AUROC, and of the share of ASR
above the benign twin that is removed; ACC lost, and detectors with true labels where the arm has none, stand beside
these and decide nothing. `{ALL}`: the mean over the defences published for supervised backdoors, on which the claim is
made ([predicates](predicates_c5.json)). {SHARE}"""

DETECTION = f"""\
Over the training images of each run: AUROC and AUPRC of the scores, TPR and FPR at the rule's own threshold; means over
seeds with Student's 95 % interval for AUROC. Labels: `given`, what the arm learned from; `pseudo`, k-means on the
features where it learned from none; `true`, an oracle; `none`: the rule reads none. A random order has an AUROC of .5
and the AUPRC shown; `class-density` knows nothing of backdoors (it flags where a class is densest): what a detector
must beat, with the interval of the difference paired by seed. In group: the share of poison in the group of labels that
holds most of it; at a half or more, rules that flag the smaller of two groups point at the clean images. {SHARE}"""

CLEAN = (
    "On encoders without a backdoor: mean over seeds of the share of training images that is flagged, with its largest."
)

INSPECTION = """\
Share of seeds whose encoder is taken for backdoored, and in which the target is among the classes named; the score is
how many times over its threshold the rule is, mean over seeds. Arms without poison: false alarms."""

MITIGATION = f"""\
ACC, ASR and R-Acc (held-out images) and neighbour mixing of triggered images (entanglement: 1 where triggered and
target images are one crowd) after the treatment; what ACC lost by it, against the same encoder before; and the same of
the method's clean encoder under the same treatment with the same clean images. Means over all seeds, the attacks that
did not work among them. Repaired: of the seeds whose attack worked, those in which ASR is below .2 and at most .05 of
ACC is lost. {SHARE}"""

NEEDS = "Beside the encoder and its training images. What needs the trigger is an oracle: no defender has it."

COST = "Mean seconds of a cell: detectors and inspections of one run, mitigations of a run and its clean twin."

REPAIRED = {"asr": 0.2, "acc_lost": 0.05}


def write_defence_report(
    path: Path,
    rows: pd.DataFrame,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    claims: pd.DataFrame,
    drawn: Sequence[Path],
    evaluator: str,
) -> Path:
    """Write the page of a study of defences. ``tables``: those of :mod:`..defences.outcomes`, of detections,
    inspections and mitigations. ``evaluator``: by which rates after mitigations are reported."""
    detected, inspected, treated = tables
    sections = (
        ("C5: do they do less against contrastive backdoors?", CLAIM, claims_table(claims)),
        ("Detection", DETECTION, detection_table(detected)),
        ("False positives where nothing is poisoned", CLEAN, false_positives(detected)),
        ("Inspection", INSPECTION, inspection_table(inspected)),
        ("Mitigation", MITIGATION, mitigation_table(treated)),
        ("What they need", NEEDS, needs_table(rows)),
        ("Refused", "Where that was not there, or a rule could not be applied.", refusals(rows)),
        ("Cost", COST, cost_table(detected, inspected, treated)),
    )
    seeds = ", ".join(str(seed) for seed in sorted(set(rows["seed"])))
    recipes = ", ".join(sorted(set(rows["recipe"])))
    budgets = ", ".join(f"{budget:g}" for budget in sorted(set(rows["budget"].dropna())))
    about = (
        f"Recipes {recipes}; seeds {seeds}; known to be clean, the same images for all arms: {budgets} of each class."
    )
    if len(treated):
        about += f" Rates after mitigations are by {EVALUATOR_TITLES[evaluator]}."
    parts = ["# What survives", "", about, ""]
    for figure in drawn:
        if figure.suffix == ".png" and not figure.stem.endswith("-1col"):
            parts += [f"![{figure.stem}](figures/{figure.name})", ""]
            parts += [f"*{CAPTIONS[figure.stem.partition('-')[0]]}*", ""]
    for title, text, table in sections:
        if len(table):
            parts += [f"## {title}", "", text, "", markdown(table), ""]
    atomic_write(path, "\n".join(parts).encode())
    return path


def defence_tables(runs: Sequence[Path]) -> list[tuple[str, pd.DataFrame]]:
    """Title and text of the tables of what was tried on the runs, none where nothing was."""
    cells = [path for run in runs for path in sorted((run / "defences").glob("*.csv"))]
    if not cells:
        return []
    rows = pd.concat([read_rows(path) for path in cells], ignore_index=True)
    tables = {
        "Detection": detection_table(detections(rows)),
        "Inspection": inspection_table(inspections(rows)),
        "Mitigation": mitigation_table(mitigations(rows)),
    }
    return [(title, table) for title, table in tables.items() if len(table)]


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """As text, one line a contrast and defence; of what decides nothing, the means only."""
    deciding = pd.Series(list(zip(claims["kind"], claims["measure"], strict=True)), index=claims.index).isin(DECIDING)
    claims = claims[deciding | (claims["defence"] == ALL)]
    return pd.DataFrame(
        {
            "recipe": line["recipe"],
            "share": f"{line['share']:g}",
            "arm": line["arm"],
            "against": line["against"],
            "of": line["measure"].replace("_", " ") + line["kind"].partition("detection")[2],
            "defence": f"**{ALL}**" if line["defence"] == ALL else line["defence"],
            "effect": number(line["effect"]),
            "95 % interval": _interval(line["ci_low"], line["ci_high"]),
            "seeds": str(line["seeds"]),
            "p (Holm)": probability(line["p_holm"]),
            "verdict": line["verdict"],
            "because": line["why"],
        }
        for _, line in claims.iterrows()
    )


def detection_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a recipe, share, detector, source of labels and poisoned arm; text."""
    lines = []
    baseline = table[table["defence"] == BASELINE]
    poisoned = table[table["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)]
    for (recipe, share, arm, defence, labels), own in _grouped(poisoned, DETECTORS, "labels"):
        same = (baseline["recipe"] == recipe) & (baseline["share"] == share) & (baseline["arm"] == arm)
        # Of those that read no labels: against the labels that the defender has.
        same &= (baseline["labels"] == labels) if labels else (baseline["labels"] != "true")
        beyond = (own.set_index("seed")["auroc"] - baseline[same].set_index("seed")["auroc"]).dropna()
        lines.append(
            {
                **{
                    "recipe": recipe,
                    "share": f"{share:g}",
                    "arm": arm,
                    "detector": defence,
                    "labels": labels or "none",
                },
                "in group": number(own["in_group"].mean()),
                "AUROC": number(own["auroc"].mean()),
                "95 % interval": over_seeds(own["auroc"].dropna()),
                "minus class-density": "–" if defence == BASELINE else number(beyond.mean()),
                "its 95 % interval": "–" if defence == BASELINE else over_seeds(beyond),
                "AUPRC": number(own["auprc"].mean()),
                "of a random order": number(own["auprc_random"].mean()),
                "TPR": number(own["tpr"].mean()),
                "FPR": number(own["fpr"].mean()),
                "seeds": f"{own['fpr'].notna().sum()} of {len(own)}",
            }
        )
    return pd.DataFrame(lines)


def false_positives(table: pd.DataFrame) -> pd.DataFrame:
    """Of each detector on each clean arm; text."""
    clean = table[table["arm"].map(lambda arm: not ARMS[arm].is_poisoned).astype(bool) & (table["labels"] != "true")]
    lines = []
    for (recipe, arm), own in clean.groupby(["recipe", "arm"], sort=False):
        by_name = own.groupby("defence")["fpr"]
        told = {
            name: f"{number(by_name.mean()[name])} ({number(by_name.max()[name])})"
            for name in DETECTORS
            if name in by_name.groups
        }
        lines.append({"recipe": recipe, "arm": arm, **told, "seeds": str(own["seed"].nunique())})
    return pd.DataFrame(lines).fillna("–")


def inspection_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line a recipe, share, inspection and arm; text."""
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
    """One line a recipe, share, arm and mitigation; text."""
    lines = []
    for (recipe, share, arm, defence), own in _grouped(table, MITIGATIONS):
        told = own.dropna(subset=["asr"])
        repaired = told["worked"] & (told["asr"] < REPAIRED["asr"]) & (told["acc_lost"] <= REPAIRED["acc_lost"])
        lines.append(
            {
                **{"recipe": recipe, "share": f"{share:g}", "arm": arm, "mitigation": defence},
                "ASR": number(told["asr"].mean()),
                "95 % interval": over_seeds(told["asr"]) if len(told) else "–",
                "its benign twin": number(told["benign_asr"].mean()),
                "R-Acc": number(told["r_acc"].mean()),
                "ACC": number(told["acc"].mean()),
                "ACC lost": number(told["acc_lost"].mean()),
                "its 95 % interval": over_seeds(told["acc_lost"]) if len(told) else "–",
                "clean encoder's ACC lost": number(told["benign_acc_lost"].mean()),
                "mixing": number(told["neighbour_mixing"].mean()),
                "repaired": "–" if defence == UNTREATED else f"{repaired.sum()} of {told['worked'].sum()}",
            }
        )
    return pd.DataFrame(lines)


def refusals(rows: pd.DataFrame) -> pd.DataFrame:
    """Defence, arm, and the sentence; text."""
    told = ["detection_fpr", "inspection_flagged", "acc"]
    undefined = rows[(rows["status"] == "undefined") & rows["measure"].isin(told)]
    table = undefined[undefined["defence"] != ""][["defence", "arm", "note"]]
    return table.rename(columns={"note": "because"}).drop_duplicates()


def needs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each defence in the rows; text."""
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
    """Mean wall and CPU seconds of each defence; text."""
    both = pd.concat([t[["defence", "wall_s", "cpu_s"]] for t in tables if len(t)], ignore_index=True)
    means = both[both["defence"] != UNTREATED].groupby("defence", sort=False)
    return pd.DataFrame(
        {
            "defence": name,
            "wall": f"{own['wall_s'].mean():.1f}",
            "CPU": f"{own['cpu_s'].mean():.1f}",
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


def _interval(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if low == low else "–"
