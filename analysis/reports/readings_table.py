"""The table that a reader sees first: each reading of each arm beside its references."""

import math

import pandas as pd

from ...probes.gradients import WHOLE
from ...representations.encoders import FEATURES
from ...training.arms import ARMS
from ..results.measures import MIDDLE, RATES
from ..results.table import by_deciding_evaluator
from .formatting import MISSING, interval, number, over_seeds
from .labels import REFERENCES

__all__ = ["SHOWN", "across_seeds", "every_reading", "middle_layer", "readings_table", "shown_rows", "summary"]

# What is shown and where it is computed: (measure, layer, subset, evaluator). Rates are those of the evaluator that is
# ``deciding`` in the run, or of the ``other`` ones.
SHOWN: tuple[tuple[str, str, str, str], ...] = (
    ("acc", FEATURES, "clean", "deciding"),
    ("asr", FEATURES, "triggered", "deciding"),
    ("asr", FEATURES, "triggered", "other"),
    ("r_acc", FEATURES, "triggered", "deciding"),
    ("smaller_side_mixing", FEATURES, "hits", ""),
    ("energy_coefficient", FEATURES, "hits", ""),
    ("mediation", MIDDLE, "hits", ""),
    ("mediation_excess", MIDDLE, "hits", ""),
    ("interference", WHOLE, "clean", ""),
    ("collateral", FEATURES, "clean_target", ""),
    ("silhouette", FEATURES, "triggered", ""),
    ("trigger_separability", FEATURES, "clean_target", ""),
    ("trigger_codelength", FEATURES, "clean_target", ""),
    ("distance_ratio", FEATURES, "triggered", ""),
    ("confusion_ratio", FEATURES, "triggered", ""),
    ("displacement_cosine", FEATURES, "triggered", ""),
    ("neighbour_mixing", FEATURES, "hits", ""),
    ("source_accuracy", FEATURES, "triggered", ""),
    ("residual_energy", FEATURES, "triggered", ""),
    ("neuron_overlap", FEATURES, "triggered", ""),
    ("erasure_cost_acc", FEATURES, "triggered", ""),
    ("erasure_cost_asr", FEATURES, "triggered", ""),
    ("content_retention", FEATURES, "triggered", ""),
    ("effective_rank", FEATURES, "clean", ""),
    ("cka", FEATURES, "clean_other~triggered", ""),
)


UNTRAINED = ("random-init", "raw-pixels")
"""References that are not measured for every seed of a study."""


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of :data:`SHOWN`, with their place in it as ``place``; pairs with another run are left out."""
    rate = rows["measure"].isin(RATES)
    whose = pd.Series("", index=rows.index)
    whose[rate] = "other"
    whose[by_deciding_evaluator(rows[rate]).index] = "deciding"
    layers = rows["layer"].where(rows["layer"] != middle_layer(rows), MIDDLE)
    keys = pd.Series(list(zip(rows["measure"], layers, rows["subset"], whose, strict=True)), index=rows.index)
    place = keys.map({key: i for i, key in enumerate(SHOWN)})
    place = place[place.notna() & (rows["kind"] != "pair")]
    return rows.loc[place.index].assign(place=place.astype(int))


def middle_layer(rows: pd.DataFrame) -> str:
    """The layer that stands for the middle one in these rows: that of interventions, in networks of other names."""
    found = rows[(rows["measure"] == "mediation") & (rows["layer"] != FEATURES)]["layer"].unique()
    return MIDDLE if MIDDLE in found or not len(found) else str(found[len(found) // 2])


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are shown, with the place of their arm in the table of arms as ``arm_order``."""
    order = {arm: i for i, arm in enumerate(ARMS)}
    shown = shown_rows(rows)
    return shown.assign(arm_order=shown["arm"].map(lambda arm: order.get(arm, len(order))))


def _name(reading: pd.Series) -> str:
    """The name of a line: the measure with its evaluator, if it is a rate, or with its subset."""
    if reading["measure"] in RATES:
        return f"{reading['measure']} [{reading['evaluator']}]"
    return f"{reading['measure']} ({reading['subset']})"


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading and run: value, interval, references, n and status; all as text."""
    lines = []
    for _, group in _in_order(rows).groupby(["place", "evaluator", "arm_order", "seed", "arm", "run"], sort=True):
        own = group[group.reference == ""]
        if own.empty:
            continue
        reading = own.iloc[0]
        references = group.drop_duplicates("reference").set_index("reference")["value"]
        lines.append(
            {
                "reading": _name(reading),
                "arm": reading["arm"],
                "seed": reading["seed"],
                "value": number(reading["value"]),
                "95 % interval": interval(reading["ci_low"], reading["ci_high"]),
                **{title: number(references.get(name, math.nan)) for name, title in REFERENCES.items()},
                "n": str(reading["n"]),
                "status": reading["status"],
            }
        )
    return pd.DataFrame(lines)


def every_reading(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading of one run, at any layer and of any subset, beside all its references; all as text.

    Lines are by layer, which is the first column. Columns without content are left out.
    """
    # The twin's name is in the rows of its own readings; of a pair it is part of the reading.
    rows = rows.assign(other_run=rows["other_run"].where(rows["kind"] == "pair", ""))
    keys = ["layer", "kind", "measure", "subset", "evaluator", "other_run", "other_layer", "x"]
    lines: list[dict[str, str]] = []
    for _, group in rows.groupby(keys, sort=False, dropna=False):
        own = group[group["reference"] == ""]
        if own.empty:
            continue
        reading = own.iloc[0]
        where = [reading["subset"], reading["evaluator"]]
        where += [f"to class {reading['x']:g}"] if reading["kind"] == "confusion" else []
        where += [f"with {reading['other_run']} {reading['other_layer']}"] if reading["kind"] == "pair" else []
        others = group[group["reference"] != ""]
        lines.append(
            {
                "layer": reading["layer"],
                "reading": f"{reading['measure']} ({', '.join(filter(None, where))})",
                "value": number(reading["value"]),
                "95 % interval": interval(reading["ci_low"], reading["ci_high"]),
                **{
                    REFERENCES.get(name, name.replace("-", " ")): number(value)
                    for name, value in zip(others["reference"], others["value"], strict=True)
                },
                **{"n": str(reading["n"]), "status": reading["status"], "note": reading["note"]},
            }
        )
    table = pd.DataFrame(lines)
    last = ["n", "status", "note"]
    table = table[[*(column for column in table.columns if column not in last), *last]].fillna(MISSING)
    layers = {layer: i for i, layer in enumerate(table["layer"].unique())}
    table = table.sort_values("layer", key=lambda column: column.map(layers), kind="stable")
    return table.loc[:, [not table[column].isin([MISSING, ""]).all() for column in table.columns]]


def readings_table(rows: pd.DataFrame) -> pd.DataFrame:
    """:func:`summary`, or with three seeds or more of an arm :func:`across_seeds`."""
    seeds = rows.groupby("arm")["seed"].nunique()
    return across_seeds(rows) if len(seeds) and seeds.max() >= 3 else summary(rows)


def across_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading and arm, all as text: the mean over seeds beside both ends and the benign twin.

    Intervals are Student's, 95 %. Seeds whose reading is not ``ok`` are left out of all means, and counted. The mean of
    a reference is shown if all other seeds have one. The benign twin is not subtracted: it has no backdoor, and its
    reading is no zero. The column of random triggers is there if they were measured.
    """
    shown = _in_order(rows)
    groups = shown.groupby(["place", "evaluator", "arm_order", "arm"], sort=True)
    table = pd.DataFrame(_line(group) for _, group in groups if (group["reference"] == "").any())
    if not (shown["reference"] == "random-trigger").any():
        table = table.drop(columns=REFERENCES["random-trigger"], errors="ignore")
    return table


def _line(group: pd.DataFrame) -> dict[str, str]:
    """``group``: the rows of one reading and arm."""
    own = group[group["reference"] == ""].set_index("seed")
    ok = own[own["status"] == "ok"]["value"]

    def mean(reference: str) -> str:
        of = group[(group["reference"] == reference) & (group["status"] == "ok")].set_index("seed")["value"]
        return number(float(of.reindex(ok.index).mean(skipna=False)))

    return {
        "reading": _name(own.iloc[0]),
        "arm": own["arm"].iloc[0],
        "mean": number(float(ok.mean())),
        "95 % interval": over_seeds(ok),
        **{title: mean(name) for name, title in REFERENCES.items() if name not in UNTRAINED},
        "seeds": f"{len(ok)} of {len(own)}",
        "left out": ", ".join(sorted(set(own[own["status"] != "ok"]["status"]))),
    }
