"""What came of the defences, as tables over seeds, figures, the verdicts on C5 and one page, all from rows alone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS
from ...training.poison import ARMS
from ..claims.defence_claims import ALL, DECIDING, judge_defences, predicates_c5
from ..defences.catalogue import BASELINE, DETECTORS, INSPECTIONS, MITIGATIONS, UNTREATED, Defence
from ..defences.outcomes import detections, inspections, mitigations
from ..results.table import DEFAULT_EVALUATOR, SPOKEN, find_table, parse_params, read_rows
from ..runs.side_tables import write_table
from .defence_drawing import CAPTIONS, draw_defences
from .readings_table import markdown, number, over_seeds, probability

__all__ = ["CLAIMS", "TABLE", "conclude_defences", "declare_c5", "defence_tables"]

TABLE, CLAIMS, PREDICATES = "defences.csv", "claims_c5.csv", "predicates_c5.json"

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
ACC, ASR and R-Acc (held-out images) and neighbour mixing of triggered images (entanglement: 1 where triggered and target
images are one crowd) after the treatment; what ACC lost by it, against the same encoder before; and the same of the
method's clean encoder under the same treatment with the same clean images. Means over all seeds, the attacks that did
not work among them. Repaired: of the seeds whose attack worked, those in which ASR is below .2 and at most .05 of ACC
is lost. {SHARE}"""

NEEDS = "Beside the encoder and its training images. What needs the trigger is an oracle: no defender has it."

COST = "Mean seconds of a cell: detectors and inspections of one run, mitigations of a run and its clean twin."

REPAIRED = {"asr": 0.2, "acc_lost": 0.05}


def conclude_defences(folder: Path) -> list[Path]:
    """Verdicts, figures and page from ``defences.csv`` (or ``defences.csv.gz``) alone; the files written."""
    rows, evaluator = read_rows(find_table(folder, TABLE)), _declared(folder)
    detected, inspected, treated = detections(rows), inspections(rows), mitigations(rows, evaluator)
    if detected.empty and inspected.empty and treated.empty:
        raise InputError(f"defences: {folder} has no rows of defences in its {TABLE}")
    claims = judge_defences(detected, treated)
    drawn = draw_defences(rows, detected, treated, folder / "figures")
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
    params = [parse_params(params) for params in rows["params"].unique()]
    recipes, budgets = (", ".join(sorted({p[key] for p in params if key in p})) for key in ("recipe", "budget"))
    about = (
        f"Recipes {recipes}; seeds {seeds}; known to be clean, the same images for all arms: {budgets} of each class."
    )
    if len(treated):
        about += f" Rates after mitigations are by {SPOKEN[evaluator]}."
    parts = ["# What survives", "", about, ""]
    for path in drawn:
        if path.suffix == ".png" and not path.stem.endswith("-1col"):
            parts += [f"![{path.stem}](figures/{path.name})", "", f"*{CAPTIONS[path.stem.partition('-')[0]]}*", ""]
    for title, text, table in sections:
        if len(table):
            parts += [f"## {title}", "", text, "", markdown(table), ""]
    atomic_write(folder / "defences.md", "\n".join(parts).encode())
    written = []
    if len(claims):
        atomic_write(folder / PREDICATES, json.dumps(predicates_c5(evaluator), indent=1).encode())
        written = [write_table(claims, folder / CLAIMS), folder / PREDICATES]
    return [*written, folder / "defences.md", *drawn]


def declare_c5(folder: Path, evaluator: str) -> None:
    """Write the predicates down before anything is tried; refuse to go on by another evaluator."""
    path, text = folder / PREDICATES, json.dumps(predicates_c5(evaluator), indent=1)
    if not path.is_file():
        atomic_write(path, text.encode())
    elif (before := _declared(folder)) != evaluator:
        raise InputError(f"evaluator: expected {before}, by which {folder} was begun, received {evaluator}")
    elif path.read_text() != text:
        raise InputError(f"out: {path} holds other predicates than these; choose another folder")


def _declared(folder: Path) -> str:
    """The evaluator in the folder's predicates."""
    try:
        told = json.loads((folder / PREDICATES).read_text()).get("evaluator", DEFAULT_EVALUATOR)
    except FileNotFoundError:
        return DEFAULT_EVALUATOR
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"defences: {folder / PREDICATES} cannot be read: {error}") from None
    if told not in EVALUATORS:
        raise InputError(f"defences: {folder / PREDICATES}: expected one of {', '.join(EVALUATORS)}, received {told!r}")
    return str(told)


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
    params = undefined["params"].map(parse_params)
    table = pd.DataFrame(
        {
            "defence": params.map(lambda p: p.get("defence", "")),
            "arm": undefined["arm"],
            "because": params.map(lambda p: p.get("reason", "")),
        }
    )
    return table[table["defence"] != ""].drop_duplicates()


def needs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each defence in the rows; text."""
    tried = {parse_params(params).get("defence") for params in rows["params"].unique()}
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
