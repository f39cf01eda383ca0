"""Published numbers beside ours. ``external.csv`` names, of each published number, the row of ours beside it."""

from functools import cache
from typing import Any

import pandas as pd
from intertwine.analysis.defences.outcomes import detections, mitigations
from intertwine.analysis.results.measures import RATES
from intertwine.analysis.results.table import find_table, read_rows
from intertwine.representations.encoders import FEATURES

from .. import STUDIES, TABLES
from .form import MISSING, number
from .studies import origins, rows_of

KEYS = ["table", "recipe", "arm", "defence", "measure", "evaluator"]
OUTCOMES = ("ASR", "TPR")
"""Of these, ours and theirs on different sides of a half are opposite outcomes."""
BOUNDED = ("ABL", "TPR")
"""No outcome: ABL isolates a fifth of our poisons at most."""
OF_THE_DATA = ("ACC", "R-Acc")
"""What other data alone decide."""


@cache
def comparison() -> pd.DataFrame:
    """Published numbers, in per cent, with ours (shares) where there are any: ``ours``, ``low``, ``high`` (over seeds,
    or test images where there is one seed), ``benign``, ``unseen``, ``seeds``."""
    published = pd.read_csv(TABLES / "external.csv", keep_default_na=False)
    return published.merge(our_numbers(), on=KEYS, how="left")


def our_numbers() -> pd.DataFrame:
    tables = {name: read_rows(TABLES / f"{name}.csv") for name in ("objectives", "attacks", "gpu_rows")}
    tables["studies/digits-sig"] = rows_of("digits-sig")
    found = [_of_rows(rows).assign(table=name, defence="") for name, rows in tables.items()]
    rows = read_rows(find_table(STUDIES / "defences", "defences.csv"))
    detected = detections(rows)
    detected = detected[detected["labels"].isin(["given", ""])]
    found += [_of_defences(detected, "detection", ("tpr", "fpr"))]
    found += [_of_defences(mitigations(rows), "mitigation", ("acc", "asr"))]
    return pd.concat(found, ignore_index=True)


def _of_rows(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["measure"].isin([*RATES, "asr_including_target"]) & (rows["layer"] == FEATURES) & (rows["kind"] == "reading")]
    by = ["recipe", "arm", "measure", "evaluator"]
    lines = []
    for key, of in rows.groupby(by, sort=False):
        own = of[of["reference"] == ""]
        one = len(own) == 1
        ends = {"low": own["ci_low" if one else "value"].min(), "high": own["ci_high" if one else "value"].max()}
        means = of.groupby("reference")["value"].mean()
        beside = {"benign": means.get("benign"), "unseen": means.get("random-trigger")}
        seeds = " ".join(map(str, sorted(own["seed"].unique())))
        lines.append(dict(zip(by, key, strict=True)) | {"ours": own["value"].mean(), **ends, **beside, "seeds": seeds})
    # Rows of a benign twin stand beside its poisoned arm only, where it has no panel of its own.
    twins = rows[(rows["reference"] == "benign") & (rows["other_run"] != "")]
    twins = twins.assign(arm=twins["other_run"].str.split("/").str[-2])
    twins = twins[~twins["arm"].isin(rows["arm"])].drop_duplicates(by)
    named = twins.rename(columns={"value": "ours", "ci_low": "low", "ci_high": "high", "seed": "seeds"})
    return pd.concat([pd.DataFrame(lines), named[[*by, "ours", "low", "high", "seeds"]]], ignore_index=True)


def _of_defences(table: pd.DataFrame, name: str, measures: tuple[str, ...]) -> pd.DataFrame:
    # Of several shares of poison, the one that stands for half of the class: of relabelled poisons a third.
    share = table["arm"].map(lambda arm: 0.3 if arm == "supervised-dirty" else 0.5)
    table = table[table["share"] == share]
    lines = []
    for key, of in table.groupby(["recipe", "arm", "defence"], sort=False):
        for measure in measures:
            of = of.dropna(subset=measure)
            beside = {"benign": of["benign_asr"].mean()} if measure == "asr" else {}
            values = {"ours": of[measure].mean(), "low": of[measure].min(), "high": of[measure].max()}
            seeds = " ".join(str(int(seed)) for seed in sorted(of["seed"]))
            about = dict(zip(("recipe", "arm", "defence"), key, strict=True)) | {"table": name, "evaluator": ""}
            lines.append(about | {"measure": measure, **values, **beside, "seeds": seeds})
    return pd.DataFrame(lines)


def on_gpu(arm: str, measure: str) -> "pd.Series[Any]":
    """A number of ours from the runs on a GPU, by kNN."""
    rows = our_numbers()
    chosen = (rows["table"] == "gpu_rows") & (rows["arm"] == arm) & (rows["measure"] == measure)
    return rows[chosen & (rows["evaluator"] == "knn")].iloc[0]


def sources() -> list[dict[str, Any]]:
    """For each source and protocol a table, and what ours were made with."""
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
    told = "".join(f"; {name} {percent(value)}" for name, value in beside.items() if value == value)
    other_data = row.metric in OF_THE_DATA and row.table not in ("objectives", "gpu_rows")
    return {
        **{"number": f"{row.what}: {row.metric}", "theirs": f"{row.value:g}"},
        "ours": f"{percent(row.ours)} [{percent(row.low)}, {percent(row.high)}]{told}",
        "difference": MISSING if other_data else f"{100 * row.ours - row.value:+.1f}",
        **{"recipe and arm of ours": f"{row.recipe}, {row.arm}", "seeds": str(row.seeds)},
    }


def percent(share: float) -> str:
    return number(100 * share, 1)


def outcomes() -> pd.DataFrame:
    """Published ASRs and TPRs that ours stand beside; ``opposite``: on the other side of a half."""
    found = comparison()
    bounded = (found["what"] == BOUNDED[0]) & (found["metric"] == BOUNDED[1])
    found = found[found["metric"].isin(OUTCOMES) & (found["table"] != "") & ~bounded]
    return found.assign(opposite=(found["ours"] > 0.5) != (found["value"] > 50))


def alone() -> "pd.Series[str]":
    """Source → published numbers with nothing of ours beside."""
    found = comparison()
    return found[found["table"] == ""].groupby("source", sort=False)["what"].agg(lambda w: ", ".join(dict.fromkeys(w)))
