"""The primaries of the zoo's encoders, and their dose response: exploratory readings with both ends."""

import pandas as pd
from intertwine.analysis.results.measures import MIDDLE
from intertwine.probes.gradients import WHOLE
from intertwine.representations.encoders import FEATURES
from scipy.stats import spearmanr

from .form import number, read, with_interval

READ = {
    "mixing": ("smaller_side_mixing", FEATURES, "hits"),
    "H": ("energy_coefficient", FEATURES, "hits"),
    "M − random": ("mediation_excess", MIDDLE, "hits"),
    "I": ("interference", WHOLE, "clean"),
    "K": ("collateral", FEATURES, "clean_target"),
}
"""Title → measure, layer and subset of the primaries."""


def table_of(name: str) -> pd.DataFrame:
    """A committed table of rows, with numbers as floats."""
    rows = read(name)
    for column in ("value", "ci_low", "ci_high", "n"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    return rows


def rows_of(rows: pd.DataFrame, title: str) -> pd.DataFrame:
    measure, layer, subset = READ[title]
    return rows[(rows["measure"] == measure) & (rows["layer"] == layer) & (rows["subset"] == subset)]


def primaries(*, sets: tuple[str, ...] = ("",), suffix: str = "", poisoned: bool = True) -> pd.DataFrame:
    """One line an encoder of the zoo: ASR by three evaluators, and each primary with its interval and both ends.

    Args:
        sets: beginnings of names. suffix: part of a name. poisoned: encoders with poison, or the benign ones.
    """
    rows, lines = table_of("primaries"), []
    for name, of in rows.groupby("name", sort=False):
        if not str(name).startswith(sets) or suffix not in str(name) or str(name).endswith("benign") == poisoned:
            continue
        asr = of[(of["measure"] == "asr") & (of["reference"] == "")].set_index("evaluator")["value"]
        line = {"encoder": str(name)}
        line["ASR: kNN, ridge, native"] = ", ".join(number(asr.get(e), 2) for e in ("knn", "ridge", "native"))
        line["hits"] = number(rows_of(of, "mixing").query("reference == ''")["n"].max(), 0)
        lines.append(line | {title: _cell(rows_of(of, title)) for title in READ})
    return pd.DataFrame(lines)


def _cell(of: pd.DataFrame) -> str:
    """Value with interval, then ``apart`` and ``together``; or the status."""
    by = of.drop_duplicates("reference").set_index("reference")
    if "" not in by.index:
        return ""
    own = by.loc[""]
    if own["status"] == "undefined":
        return "undefined"
    text = with_interval(own["value"], own["ci_low"], own["ci_high"])
    ends = [number(by["value"].get(end)) for end in ("apart", "together")]
    text += f" ({ends[0]}; {ends[1]})" if any(end != number(None) for end in ends) else ""
    return text if own["status"] == "ok" else f"{text} *{own['status'].replace('_', ' ')}*"


def costs() -> pd.DataFrame:
    """Seconds of the zoo's slowest encoder, by data: all primaries, and mediation and collateral by themselves."""
    rows = read("primaries").drop_duplicates("name")
    rows = rows[~rows["name"].str.endswith("benign")].assign(data=rows["name"].str.partition("-")[0])
    columns = [f"{what}_{kind}" for what in ("all", "mediation", "collateral") for kind in ("wall", "cpu")]
    rows[columns] = rows[columns].apply(pd.to_numeric)
    found = rows.groupby("data")[columns].max().map(lambda seconds: number(seconds, 1)).reset_index()
    return found.rename(columns=lambda name: name.replace("_wall", ", s").replace("_cpu", ", CPU s"))


def doses() -> pd.DataFrame:
    """Values of the primaries by arm, dose and seed, where they are defined: columns ``title``, ``arm``, ``dose``,
    ``seed``, ``value``."""
    rows = table_of("dose_response")
    rows["dose"] = pd.to_numeric(rows["dose"])
    rows = rows[(rows["reference"] == "") & rows["value"].notna()]
    parts = [rows_of(rows, title).assign(title=title) for title in READ]
    asr = rows[(rows["measure"] == "asr") & (rows["evaluator"] == "native")].assign(title="ASR, native")
    return pd.concat([asr, *parts])[["title", "arm", "dose", "seed", "value", "status"]]


def correlations() -> pd.DataFrame:
    """Rank correlation of each primary with the dose, by arm, over all encoders in which it is defined."""
    lines = []
    for arm, of_arm in doses().groupby("arm", sort=False):
        line = {"arm": str(arm)}
        for title in ("ASR, native", *READ):
            of = of_arm[of_arm["title"] == title]
            if len(of) < 4:
                line[title] = f"{len(of)} defined"
                continue
            found = spearmanr(of["dose"], of["value"])
            line[title] = f"{number(found.statistic, 2)} (n = {len(of)}, p = {number(found.pvalue)})"
        lines.append(line)
    return pd.DataFrame(lines)


def dose_means() -> pd.DataFrame:
    """Mean over seeds of each primary by arm and dose."""
    wide = doses().groupby(["arm", "dose", "title"], sort=False)["value"].mean().unstack("title").reset_index()
    for column in wide.columns.drop(["arm"]):
        wide[column] = wide[column].map(lambda value: number(value, 2))
    return wide[["arm", "dose", *(t for t in ("ASR, native", *READ) if t in wide)]]
