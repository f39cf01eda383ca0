"""The one table a reader sees first: each reading of each arm beside its references."""

import math

import pandas as pd
import torch

from ...probes.gradients import WHOLE
from ...probes.nulls import t_interval
from ...representations.encoders import FEATURES
from ...representations.evaluators import EVALUATORS
from ...training.arms import ARMS
from ..results.measures import RATES
from ..results.schema import REFERENCES
from ..results.table import by_deciding_evaluator

__all__ = [
    "SHOWN",
    "across_seeds",
    "markdown",
    "number",
    "over_seeds",
    "probability",
    "readings_table",
    "shown_rows",
    "summary",
]

# What is shown and where it is read: (measure, layer, subset, whose). Rates are those of the
# ``deciding`` evaluator of the run, or of the ``other`` one.
SHOWN: tuple[tuple[str, str, str, str], ...] = (
    ("acc", FEATURES, "clean", "deciding"),
    ("asr", FEATURES, "triggered", "deciding"),
    ("asr", FEATURES, "triggered", "other"),
    ("r_acc", FEATURES, "triggered", "deciding"),
    ("distance_ratio", FEATURES, "triggered", ""),
    ("confusion_ratio", FEATURES, "triggered", ""),
    ("displacement_cosine", FEATURES, "triggered", ""),
    ("neighbour_mixing", FEATURES, "hits", ""),
    ("neighbour_mixing", FEATURES, "triggered", ""),
    ("silhouette", FEATURES, "triggered", ""),
    ("trigger_separability", FEATURES, "clean_target", ""),
    ("trigger_codelength", FEATURES, "clean_target", ""),
    ("source_accuracy", FEATURES, "triggered", ""),
    ("residual_energy", FEATURES, "triggered", ""),
    ("gradient_alignment", WHOLE, "clean_other", ""),
    ("neuron_overlap", FEATURES, "triggered", ""),
    ("erasure_cost_acc", FEATURES, "triggered", ""),
    ("erasure_cost_asr", FEATURES, "triggered", ""),
    ("effective_rank", FEATURES, "clean", ""),
    ("cka", FEATURES, "clean_other~triggered", ""),
)


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of :data:`SHOWN`, with their place in it as ``place``; pairs with another run are left out."""
    rate = rows["measure"].isin(RATES)
    whose = pd.Series("", index=rows.index)
    whose[rate] = rows.loc[rate, "evaluator"].isin(EVALUATORS).map({True: "other", False: "neither"})
    whose[by_deciding_evaluator(rows[rate]).index] = "deciding"
    keys = pd.Series(list(zip(rows["measure"], rows["layer"], rows["subset"], whose, strict=True)), index=rows.index)
    place = keys.map({key: i for i, key in enumerate(SHOWN)})
    return rows[place.notna() & (rows["kind"] != "pair")].assign(place=place).astype({"place": int})


def _named(reading: pd.Series) -> str:
    """What a line is called: the measure, and of rates whose they are, of others on which images."""
    if reading["measure"] in RATES:
        return f"{reading['measure']} [{reading['evaluator']}]"
    return f"{reading['measure']} ({reading['subset']})"


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading and run: value, interval, references in columns of their own, n and status; text, ready to
    print."""
    shown = shown_rows(rows)
    order = {arm: i for i, arm in enumerate(ARMS)}
    shown = shown.assign(arm_order=shown["arm"].map(lambda a: order.get(a, len(order))))
    lines = []
    for _, group in shown.groupby(["place", "arm_order", "seed", "arm", "run"], sort=True):
        own = group[group.reference == ""]
        if own.empty:
            continue
        reading = own.iloc[0]
        references = group.drop_duplicates("reference").set_index("reference")["value"]
        lines.append(
            {
                "reading": _named(reading),
                "arm": reading["arm"],
                "seed": reading["seed"],
                "value": number(reading["value"]),
                "95 % interval": _interval(reading),
                **{r: number(references[r]) if r in references else "–" for r in REFERENCES[:5]},
                "n": str(reading["n"]),
                "status": reading["status"],
            }
        )
    return pd.DataFrame(lines)


def readings_table(rows: pd.DataFrame) -> pd.DataFrame:
    """:func:`summary`, or with three seeds or more of an arm :func:`across_seeds`."""
    seeds = rows.groupby("arm")["seed"].nunique()
    return across_seeds(rows) if len(seeds) and seeds.max() >= 3 else summary(rows)


def across_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading and arm: mean over seeds with Student's 95 % interval, the benign twin's mean over those
    seeds that have one too, their paired difference, and the means of the fully intertwined end and, where they were
    read, of random triggers; text. Seeds whose reading is not ``ok`` are left out of all means and counted; without
    any, the line says why."""
    shown = shown_rows(rows)
    order = {arm: i for i, arm in enumerate(ARMS)}
    shown = shown.assign(arm_order=shown["arm"].map(lambda a: order.get(a, len(order))))
    lines = []
    for _, group in shown.groupby(["place", "arm_order", "arm"], sort=True):
        own, benign, together, random = (
            group[group["reference"] == r].set_index("seed") for r in ("", "benign", "together", "random-trigger")
        )
        if own.empty:
            continue
        ok = own[own["status"] == "ok"]["value"]
        clean, ends = (of[of["status"] == "ok"]["value"] for of in (benign, together))
        difference = (ok - clean).dropna()
        if len(ok):
            ends = ends[ends.index.isin(ok.index)]
        unrelated = random["value"].where(random["status"] == "ok").reindex(ok.index)  # of the same seeds, or not told
        lines.append(
            {
                "reading": _named(own.iloc[0]),
                "arm": own["arm"].iloc[0],
                "mean": number(float(ok.mean())),
                "95 % interval": over_seeds(ok),
                "benign": number(float(clean[difference.index].mean())),
                "minus benign twin": number(float(difference.mean())),
                "its 95 % interval": over_seeds(difference),
                "together": number(float(ends.mean())),
                "random trigger": number(float(unrelated.mean(skipna=False))),
                "seeds": f"{len(ok)} of {len(own)}",
                "left out": ", ".join(sorted(set(own[own["status"] != "ok"]["status"]))),
            }
        )
    table = pd.DataFrame(lines)
    if not (shown["reference"] == "random-trigger").any():
        table = table.drop(columns="random trigger", errors="ignore")
    return table


def over_seeds(values: pd.Series) -> str:
    """Student's 95 % interval of the mean, as text."""
    low, high = t_interval(torch.tensor(values.to_numpy(dtype=float)))
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) else "–"


def number(value: float) -> str:
    """Three decimals, or an en dash for what is not there."""
    if not math.isfinite(value):
        return "∞" if value == math.inf else "–"
    return f"{value:.3f}".replace("-0.000", "0.000")


def probability(value: float) -> str:
    """A p of a test, which is never 0."""
    return "< 0.001" if 0 <= value < 0.001 else number(value)


def markdown(table: pd.DataFrame) -> str:
    """A GitHub table of text columns."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(str(v).replace("|", "\\|") for v in row) + " |" for row in table.itertuples(index=False)
    ]
    return "\n".join(lines)


def _interval(row: pd.Series) -> str:
    low, high = row["ci_low"], row["ci_high"]
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else "–"
