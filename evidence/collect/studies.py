"""The first studies on CIFAR-10, whose verdicts are void, and the studies of defences."""

import json
from dataclasses import dataclass
from functools import cache

import pandas as pd
from intertwine.analysis.reports.formatting import MISSING
from intertwine.analysis.results.schema import BACKDOORED, DEFAULT_EVALUATOR, EVALUATOR_TITLES
from intertwine.analysis.results.table import final_rows, find_table, read_rows
from intertwine.probes.gradients import WHOLE
from intertwine.representations.encoders import FEATURES
from intertwine.training.arms import ARMS

from .. import STUDIES
from .form import between, machines, made_by, number, over_seeds, read, with_interval

DATA = {
    "cifar10-sig": "CIFAR-10, JPEG re-encoded, 16×16; SIG",
    "cifar10-sig-b": "the same, ten other seeds",
}
"""Until the crossed study on CIFAR-10 replaces them."""
FIRST_PRIMARIES = {
    "neighbour_mixing": {"layer": FEATURES, "subset": "hits"},
    "gradient_alignment": {"layer": WHOLE, "subset": "clean_other"},
}
"""What decided the claims by the first rules, which these studies registered."""
DEFENDED = {"defences": "digits, 16×16; blend and patch", "defences-digits-sig": "digits, 16×16; SIG"}


@dataclass(frozen=True)
class ArmReadings:
    """Tables with a line a seed and a column a reference. ``asr``: over all seeds. ``works``: where the attack works,
    ``agree``: by both evaluators. ``mixing``, ``alignment``: over the seeds in which it works."""

    asr: pd.DataFrame
    works: "pd.Series[bool]"
    agree: "pd.Series[bool]"
    mixing: pd.DataFrame
    alignment: pd.DataFrame


def decides(study: str) -> str:
    """The evaluator, as registered."""
    name = "predicates_c5.json" if study in DEFENDED else "predicates.json"
    return str(json.loads((STUDIES / study / name).read_text()).get("evaluator", DEFAULT_EVALUATOR))


@cache
def rows_of(study: str) -> pd.DataFrame:
    """Rows at the end of training."""
    return final_rows(read_rows(find_table(STUDIES / study, "rows.csv")))


def asr_of(study: str, arm: str, evaluator: str) -> pd.DataFrame:
    rows = rows_of(study)
    rows = rows[(rows["measure"] == "asr") & (rows["layer"] == FEATURES) & (rows["kind"] == "reading")]
    rows = rows[(rows["arm"] == arm) & (rows["evaluator"] == evaluator)]
    table = rows.pivot_table(index="seed", columns="reference", values="value")
    return table.reindex(columns=["", "benign", "random-trigger"])


@cache
def readings() -> dict[tuple[str, str], ArmReadings]:
    """By study and poisoned arm."""
    found = {}
    for study in DATA:
        present = set(rows_of(study)["arm"])
        for arm in (arm for arm in ARMS if ARMS[arm].is_poisoned and arm in present):
            asr = {evaluator: asr_of(study, arm, evaluator) for evaluator in ("knn", "ridge")}
            works = {evaluator: table[""] - table["benign"] >= BACKDOORED for evaluator, table in asr.items()}
            own = works[decides(study)]
            mixing, alignment = (_primary(study, arm, measure).reindex(own.index[own]) for measure in FIRST_PRIMARIES)
            agree = works["knn"] & works["ridge"]
            found[study, arm] = ArmReadings(asr[decides(study)], own, agree, mixing, alignment)
    return found


def _primary(study: str, arm: str, measure: str) -> pd.DataFrame:
    rows = rows_of(study)
    rows = rows[(rows["arm"] == arm) & (rows["measure"] == measure) & (rows["kind"] == "reading")]
    for column, place in FIRST_PRIMARIES[measure].items():
        rows = rows[rows[column] == place]
    return rows[rows["status"] == "ok"].pivot_table(index="seed", columns="reference", values="value")


def readings_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{"study": f"[{study}](../evidence/studies/{study}/report.md)", "arm": arm},
            "attack works": f"{r.works.sum()} of {len(r.works)} ({r.agree.sum()} by both)",
            "ASR": between(r.asr[""], 2),
            "twin's ASR": number(r.asr["benign"].mean()),
            "unseen triggers": number(r.asr["random-trigger"].mean()),
            "mixing of hits": over_seeds(r.mixing[""].dropna()),
            "twin's mixing": number(r.mixing["benign"].mean()),
            "gradient alignment": over_seeds(r.alignment[""].dropna()),
            "twin's alignment": number(r.alignment["benign"].mean()),
        }
        for (study, arm), r in readings().items()
    )


def defence_verdicts() -> pd.DataFrame:
    """What the registered rule of C5 gave: the mean contrast over the classic defences."""
    lines = []
    for study, data in DEFENDED.items():
        table = pd.read_csv(STUDIES / study / "claims_c5.csv", keep_default_na=False)
        for row in table[(table["defence"] == "all") & (table["verdict"] != "")].itertuples():
            line = {"study": f"[{data}](../evidence/studies/{study}/defences.md)", "share of the class": row.share}
            line |= {"against": row.against, "of": row.kind}
            line |= {"contrast": with_interval(row.effect, row.ci_low, row.ci_high)}
            lines.append(line | {"seeds": row.seeds, "verdict": row.verdict})
    return pd.DataFrame(lines).rename(columns={"verdict": "void verdict"})


def origins() -> pd.DataFrame:
    """Machine, commit and protocol of tables that do not record them."""
    return read("origins").set_index("table")


def studies_table() -> pd.DataFrame:
    """Recipe, size and cost of each study, with machine and commit."""
    lines = []
    for study, data in DATA.items():
        runs = pd.read_csv(STUDIES / study / "runs.csv", keep_default_na=False)
        line = {"study": f"[{study}](../evidence/studies/{study}/report.md)", "data": data}
        line |= {"recipe": json.loads((STUDIES / study / "recipe.json").read_text())["name"], "runs": str(len(runs))}
        line |= {"seeds": between(runs["seed"], 0), "decides": EVALUATOR_TITLES[decides(study)]}
        line |= {"CPU minutes": number(runs["cpu_seconds"].sum() / 60, 0)}
        made = machines(runs) if "commit" in runs else made_by(origins().loc[study])
        lines.append(line | {"machine; commit": made})
    for study, data in DEFENDED.items():
        line = {"study": f"[{study}](../evidence/studies/{study}/defences.md)", "data": data}
        lines.append(line | {"machine; commit": made_by(origins().loc[study])})
    return pd.DataFrame(lines).fillna(MISSING)
