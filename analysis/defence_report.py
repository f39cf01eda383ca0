"""What came of the defences: tables of detection and of mitigation by arm, over seeds, as one page."""

from pathlib import Path

import pandas as pd

from ..checkpoints.store import atomic_write
from ..representations.encoders import FEATURES
from ..training.poison import ARMS
from .rows import parse_params
from .summary import markdown, number, over_seeds

__all__ = ["detection_table", "mitigation_table", "write_defence_report"]

DETECTION = """\
Over the training images of each run: AUROC and AUPRC of the scores, TPR and FPR at the rule's own threshold; means over
seeds with Student's 95 % interval for AUROC. Labels: `given`, what the arm learned from; `pseudo`, k-means on the
features where it learned from none; `true`, an oracle. `class-density` knows nothing of backdoors (it flags where a
class is densest): what a detector must beat. Chance: AUROC .5, AUPRC the share of poisons. Arms without poison have an
FPR only."""

MITIGATION = """\
ACC and ASR (weighted kNN, held-out images) after the treatment, means over seeds; what ACC lost by it, against the same
encoder before; and the same of the method's clean encoder under the same treatment with the same clean images."""


def detection_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a detector, source of labels and arm; text."""
    params = rows["params"].map(parse_params)
    rows = rows.assign(defence=params.map(lambda p: p.get("defence")), labels=params.map(lambda p: p.get("labels", "")))
    rows = rows[rows["measure"].str.startswith("detection_")]
    lines = []
    for (defence, labels), of_defence in rows.groupby(["defence", "labels"], sort=False):
        for arm in [arm for arm in ARMS if arm in set(of_defence["arm"])]:
            own = of_defence[(of_defence["arm"] == arm) & (of_defence["status"] == "ok")]
            means = own.groupby("measure")["value"].mean()
            auroc = own[own["measure"] == "detection_auroc"]["value"]
            lines.append(
                {
                    "detector": defence,
                    "labels": labels or "none",
                    "arm": arm,
                    **{
                        title: number(float(means.get(f"detection_{measure}", float("nan"))))
                        for title, measure in (("AUROC", "auroc"), ("AUPRC", "auprc"), ("TPR", "tpr"), ("FPR", "fpr"))
                    },
                    "95 % interval of AUROC": over_seeds(auroc) if len(auroc) else "–",
                    "seeds": f"{own['seed'].nunique()} of {of_defence[of_defence['arm'] == arm]['seed'].nunique()}",
                }
            )
    return pd.DataFrame(lines)


def mitigation_table(rows: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """One line a mitigation and arm; text. ``before``: the panels' rows of the same runs, untreated."""
    after = _rates(rows, ["run", "arm", "seed", "defence", "reference"])
    start = _rates(before, ["run", "arm", "seed", "reference"])
    if after.empty:
        return pd.DataFrame()
    both = after.merge(start, on=["run", "arm", "seed", "reference"], how="left", suffixes=("", " before"))
    lines = []
    for (defence, arm), own in both.groupby(["defence", "arm"], sort=False):
        run, floor = own[own["reference"] == ""], own[own["reference"] == "floor"]
        lost = run["acc before"] - run["acc"]
        lines.append(
            {
                "mitigation": defence,
                "arm": arm,
                "ASR before": number(float(run["asr before"].mean())),
                "ASR after": number(float(run["asr"].mean())),
                "95 % interval": over_seeds(run["asr"]),
                "its floor": number(float(floor["asr"].mean())),
                "ACC lost": number(float(lost.mean())),
                "its 95 % interval": over_seeds(lost),
                "clean encoder's ACC lost": number(float((floor["acc before"] - floor["acc"]).mean())),
                "seeds": str(len(run)),
            }
        )
    return pd.DataFrame(lines)


def _rates(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """ACC and ASR at the end of training as columns, by ``keys``."""
    params = rows["params"].map(parse_params)
    rows = rows.assign(defence=params.map(lambda p: p.get("defence", "")))
    knn = params.map(lambda p: p.get("evaluator")) == "knn"
    knn &= rows["measure"].isin(["acc", "asr"]) & (rows["layer"] == FEATURES) & rows["x"].isna()
    chosen = rows[knn & rows["reference"].isin(["", "floor"]) & ((rows["run_b"] == "") | (rows["reference"] != ""))]
    if chosen.empty:
        return pd.DataFrame(columns=[*keys, "acc", "asr"])
    return chosen.pivot_table(index=keys, columns="measure", values="value", sort=False).reset_index()


def write_defence_report(path: Path, rows: pd.DataFrame, before: pd.DataFrame) -> Path:
    """``defences.md``: both tables."""
    detected, mitigated = detection_table(rows), mitigation_table(rows, before)
    parts = ["# What survives", "", f"{rows['run'].nunique()} runs, seeds {_seeds(rows)}.", ""]
    for title, text, table in (("Detection", DETECTION, detected), ("Mitigation", MITIGATION, mitigated)):
        if len(table):
            parts += [f"## {title}", "", text, "", markdown(table), ""]
    atomic_write(path, "\n".join(parts).encode())
    return path


def _seeds(rows: pd.DataFrame) -> str:
    return ", ".join(str(seed) for seed in sorted(set(rows["seed"])))
