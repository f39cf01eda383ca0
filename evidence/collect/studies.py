"""The kept studies: what was computed in them, and what the rules registered for them gave."""

import json
from functools import cache
from typing import Any

import pandas as pd
from intertwine.analysis.results.schema import DEFAULT_EVALUATOR, EVALUABLE, EVALUATOR_TITLES, NATIVE
from intertwine.analysis.results.table import final_rows, find_table, read_rows
from intertwine.probes.gradients import WHOLE
from intertwine.representations.encoders import FEATURES
from intertwine.training.poison import ARMS

from .. import STUDIES, TABLES
from .form import MISSING, between, made_by, number, one_of_each, over_seeds, with_interval

DATA = {
    "cifar10-sig": "CIFAR-10, JPEG re-encoded, 16×16; SIG",
    "cifar10-sig-b": "the same, ten other seeds",
    "digits-sig": "digits, 16×16; SIG",
    "digits": "digits, 16×16; blend",
}
DEFENDED = {"defences": "digits, 16×16; blend and patch", "defences-digits-sig": "digits, 16×16; SIG"}
PLACES = {
    "mixing": {"measure": "neighbour_mixing", "layer": FEATURES, "subset": "hits"},
    "alignment": {"measure": "gradient_alignment", "layer": WHOLE, "subset": "clean_other"},
}
"""Where the two readings of the first claims are computed."""

def evaluator_of(study: str) -> str:
    """The evaluator that decides, as registered."""
    name = "predicates_c5.json" if study in DEFENDED else "predicates.json"
    return str(json.loads((STUDIES / study / name).read_text()).get("evaluator", DEFAULT_EVALUATOR))


@cache
def rows_of(study: str) -> pd.DataFrame:
    """Rows of the readings at the end of training."""
    return final_rows(read_rows(find_table(STUDIES / study, "rows.csv")))


def rates(study: str, arm: str, evaluator: str, measure: str = "asr") -> pd.DataFrame:
    """A rate at the end, a line a seed: ``own``, ``benign`` (the twin's), ``unseen`` (under other triggers)."""
    rows = rows_of(study)
    rows = rows[(rows["measure"] == measure) & (rows["arm"] == arm) & (rows["layer"] == FEATURES)]
    table = rows[rows["evaluator"] == evaluator].pivot_table(index="seed", columns="reference", values="value")
    return table.rename(columns={"": "own", "random-trigger": "unseen"}).reindex(columns=["own", "benign", "unseen"])


def works(asr: pd.DataFrame) -> "pd.Series[bool]":
    return asr["own"] - asr["benign"] >= EVALUABLE


@cache
def readings() -> pd.DataFrame:
    """Of each study and poisoned arm: ASR over all seeds, and the readings over those in which the attack works."""
    lines = []
    for study in DATA:
        rows, decides = rows_of(study), evaluator_of(study)
        for arm in (arm for arm in ARMS if ARMS[arm].is_poisoned and arm in set(rows["arm"])):
            asr = {evaluator: rates(study, arm, evaluator) for evaluator in ("knn", "ridge")}
            counted = works(asr[decides])
            line: dict[str, Any] = {"study": study, "arm": arm, "decides": decides, "asr": asr[decides]}
            line |= {"works": counted, "agree": counted & works(asr["ridge" if decides == "knn" else "knn"])}
            for name, place in PLACES.items():
                of = rows[(rows["arm"] == arm) & (rows["status"] == "ok") & (rows["kind"] == "reading")]
                of = of[(of[list(place)] == pd.Series(place)).all(axis=1)]
                table = of.pivot_table(index="seed", columns="reference", values="value")
                line[name] = table[table.index.isin(counted.index[counted])].dropna(subset="")
            lines.append(line)
    return pd.DataFrame(lines).set_index(["study", "arm"])


def readings_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{"study": f"[{study}](../evidence/studies/{study}/report.md)", "arm": arm},
            "attack works": f"{r.works.sum()} of {len(r.works)} ({r.agree.sum()} by both)",
            "ASR": between(r.asr["own"], 2),
            **{"twin's ASR": number(r.asr["benign"].mean()), "unseen triggers": number(r.asr["unseen"].mean())},
            "mixing of hits": over_seeds(r.mixing[""]),
            "twin's mixing": number(r.mixing["benign"].mean()),
            "gradient alignment": over_seeds(r.alignment[""]),
            "twin's alignment": number(r.alignment["benign"].mean()),
        }
        for (study, arm), r in zip(readings().index, readings().itertuples(), strict=True)
    )


def largest_unseen_asr() -> float:
    """Under triggers that were not trained, of the arms' means."""
    return max(float(asr["unseen"].mean()) for asr in readings()["asr"])


def largest_mixing(studies: list[str]) -> float:
    """Of the arms' means."""
    return max(float(table[""].mean()) for table in readings().loc[studies, "mixing"])


def least_native_asr() -> float:
    """By supervised networks' own heads, over the seeds of all studies under SIG."""
    arms = ("supervised-dirty", "supervised-clean")
    return min(rates(study, arm, NATIVE)["own"].min() for study in DATA if "sig" in study for arm in arms)


def claims(study: str) -> pd.DataFrame:
    return pd.read_csv(STUDIES / study / "claims.csv", keep_default_na=False)


def verdicts() -> pd.DataFrame:
    """What the registered rules gave, a line a contrast and a column a study."""
    table = pd.concat([claims(study).assign(study=study) for study in DATA])
    twin = table["against"].str.contains("benign")
    table["contrast"] = table["arm"].where(twin, table["arm"] + " against " + table["against"])
    indicative = table["verdict"].str.startswith("indicative: ")
    short = table["verdict"].str.removeprefix("indicative: ")
    table["short"] = short.where(~indicative, "(" + short + ")")
    wide = table.pivot_table(
        index=["claim", "contrast"], columns="study", values="short", aggfunc="first", sort=False
    )
    return wide[list(DATA)].fillna(MISSING).reset_index().sort_values("claim", kind="stable")


def defence_verdicts() -> pd.DataFrame:
    """What the registered rule of C5 gave: the mean contrast over the classic defences."""
    lines = []
    for study, data in DEFENDED.items():
        table = pd.read_csv(STUDIES / study / "claims_c5.csv", keep_default_na=False)
        for row in table[(table["defence"] == "all") & (table["verdict"] != "")].itertuples():
            lines.append(
                {
                    "study": f"[{data}](../evidence/studies/{study}/defences.md)",
                    **{"share of the class": row.share, "against": row.against, "of": row.kind},
                    "contrast": with_interval(row.effect, row.ci_low, row.ci_high),
                    **{"seeds": row.seeds, "verdict": row.verdict},
                }
            )
    return pd.DataFrame(lines)


@cache
def origins() -> pd.DataFrame:
    return pd.read_csv(TABLES / "origins.csv", keep_default_na=False).set_index("table")


def studies_table() -> pd.DataFrame:
    """Recipe, size and cost of each study, with machine and commit."""
    lines = []
    for study, data in DATA.items():
        runs = pd.read_csv(STUDIES / study / "runs.csv", keep_default_na=False)
        recorded = "commit" in runs
        made = one_of_each(map(made_by, runs.itertuples())) if recorded else made_by(origins().loc[study])
        recipe = json.loads((STUDIES / study / "recipe.json").read_text())["name"]
        seeds = f"{runs['seed'].min()} to {runs['seed'].max()}"
        lines.append(
            {
                **{"study": f"[{study}](../evidence/studies/{study}/report.md)", "data": data, "recipe": recipe},
                **{"runs": str(len(runs)), "seeds": seeds, "decides": EVALUATOR_TITLES[evaluator_of(study)]},
                **{"CPU minutes": number(runs["cpu_seconds"].sum() / 60, 0), "machine; commit": made},
            }
        )
    for study, data in DEFENDED.items():
        about = {"study": f"[{study}](../evidence/studies/{study}/defences.md)", "data": data}
        lines.append(about | {"machine; commit": made_by(origins().loc[study])})
    return pd.DataFrame(lines).fillna(MISSING)
