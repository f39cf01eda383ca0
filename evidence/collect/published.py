"""Published numbers beside ours. ``external.csv`` names, of each published number, the row of ours beside it."""

from functools import cache
from typing import Any

import pandas as pd
from intertwine.analysis.defences.outcomes import detections, mitigations
from intertwine.analysis.reports.formatting import MISSING
from intertwine.analysis.results.table import final_rows, find_table, read_rows, select
from intertwine.representations.encoders import FEATURES

from .. import STUDIES, TABLES
from .crossed import rows_of
from .form import number, read
from .studies import origins

KEYS = ["table", "recipe", "arm", "defence", "measure", "evaluator"]
RATES = ["acc", "asr", "r_acc", "asr_including_target"]
OUTCOMES = ["ASR", "TPR"]
"""Of these, ours and theirs on different sides of a half are opposite outcomes."""
BOUNDED = ("ABL", "TPR")
"""No outcome: ABL isolates a fifth of our poisons at most."""
OF_THE_DATA = ("ACC", "R-Acc")
"""What other data alone decide."""


@cache
def comparison() -> pd.DataFrame:
    """Published numbers, in per cent, with ours (shares) where there are any: ``ours``, ``low`` and ``high`` (over
    seeds, or over test images where there is one seed), ``benign``, ``unseen``, ``seeds``."""
    return read("external").merge(our_numbers(), on=KEYS, how="left")


@cache
def our_numbers() -> pd.DataFrame:
    tables = {name: read_rows(TABLES / f"{name}.csv") for name in ("objectives", "attacks", "gpu_rows")}
    tables["studies/crossed-digits"] = final_rows(rows_of("crossed-digits"))
    found = [_of_rows(rows).assign(table=name, defence="") for name, rows in tables.items()]
    rows = read_rows(find_table(STUDIES / "defences", "defences.csv"))
    detected = detections(rows)
    found += [_of_defences(detected[detected["labels"].isin(["given", ""])], "detection", ("tpr", "fpr"))]
    found += [_of_defences(mitigations(rows), "mitigation", ("acc", "asr"))]
    return pd.concat(found, ignore_index=True)


def _of_rows(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["measure"].isin(RATES) & (rows["layer"] == FEATURES) & (rows["kind"] == "reading")]
    # A benign twin without a panel of its own has its rows beside its poisoned arm.
    twins = rows[(rows["reference"] == "benign") & (rows["other_run"] != "")]
    twins = twins.assign(arm=twins["other_run"].str.split("/").str[-2], reference="")
    rows = pd.concat([rows, twins[~twins["arm"].isin(rows["arm"])]])
    lines = []
    for key, of in rows.groupby(["recipe", "arm", "measure", "evaluator"], sort=False):
        own, means = of[of["reference"] == ""], of.groupby("reference")["value"].mean()
        seeds = sorted(own["seed"].unique())
        low, high = ("ci_low", "ci_high") if len(seeds) == 1 else ("value", "value")
        line = dict(zip(("recipe", "arm", "measure", "evaluator"), key, strict=True))
        line |= {"ours": own["value"].mean(), "low": own[low].min(), "high": own[high].max()}
        line |= {"benign": means.get("benign"), "unseen": means.get("random-trigger")}
        lines.append(line | {"seeds": " ".join(map(str, seeds))})
    return pd.DataFrame(lines)


def _of_defences(table: pd.DataFrame, name: str, measures: tuple[str, ...]) -> pd.DataFrame:
    # Of several shares of poison, the one that stands for half of the class: of relabelled poisons a third.
    table = table[table["share"] == table["arm"].map(lambda arm: 0.3 if arm == "supervised-dirty" else 0.5)]
    lines = []
    for key, of_all in table.groupby(["recipe", "arm", "defence"], sort=False):
        for measure in measures:
            of = of_all.dropna(subset=measure)
            line = dict(zip(("recipe", "arm", "defence"), key, strict=True)) | {"table": name, "evaluator": ""}
            line |= {
                "measure": measure,
                "ours": of[measure].mean(),
                "low": of[measure].min(),
                "high": of[measure].max(),
            }
            line |= {"benign": of["benign_asr"].mean() if measure == "asr" else None}
            lines.append(line | {"seeds": " ".join(map(str, sorted(of["seed"].astype(int))))})
    return pd.DataFrame(lines)


def on_gpu(arm: str, measure: str) -> "pd.Series[Any]":
    """A number of ours from the runs on a GPU, by kNN."""
    return select(our_numbers(), table="gpu_rows", arm=arm, measure=measure, evaluator="knn").iloc[0]


def sources() -> list[dict[str, Any]]:
    """For each source and protocol: a table, and how ours were made."""
    found = comparison()
    found = found[found["table"] != ""]
    return [
        {
            **{"source": source, "protocol": protocol, "table": pd.DataFrame(map(_line, of.itertuples()))},
            "made": [origins().loc[name] for name in of["table"].unique()],
        }
        for (source, protocol), of in found.groupby(["source", "protocol"], sort=False)
    ]


def _line(row: Any) -> dict[str, str]:
    beside = {"twin": row.benign, "unseen triggers": row.unseen} if row.measure.startswith("asr") else {}
    text = "".join(f"; {name} {percent(value)}" for name, value in beside.items() if value == value)
    other_data = row.metric in OF_THE_DATA and row.table not in ("objectives", "gpu_rows")
    return {
        **{"number": f"{row.what}: {row.metric}", "theirs": f"{row.value:g}"},
        "ours": f"{percent(row.ours)} [{percent(row.low)}, {percent(row.high)}]{text}",
        "difference": MISSING if other_data else f"{100 * row.ours - row.value:+.1f}",
        **{"recipe and arm of ours": f"{row.recipe}, {row.arm}", "seeds": str(row.seeds)},
    }


def percent(share: float) -> str:
    return number(100 * share, 1)


def outcomes() -> pd.DataFrame:
    """Published ASRs and TPRs with ours beside; ``opposite``: ours on the other side of a half."""
    found = comparison()
    bounded = (found["what"] == BOUNDED[0]) & (found["metric"] == BOUNDED[1])
    found = found[found["metric"].isin(OUTCOMES) & (found["table"] != "") & ~bounded]
    return found.assign(opposite=(found["ours"] > 0.5) != (found["value"] > 50))


def alone() -> dict[str, str]:
    """Source → published numbers with nothing of ours beside."""
    found = comparison()
    found = found[found["table"] == ""]
    return {str(source): ", ".join(dict.fromkeys(of)) for source, of in found.groupby("source", sort=False)["what"]}
