"""Gates: only runs whose backdoor works at the end of training are evidence of how it was learned."""

import pandas as pd

from ...training.arms import ARMS
from .measures import MEASURES
from .table import final_rows

__all__ = ["failed_runs", "gated"]

INTERVENED = {"asr_half_point", "transplant_gain", "transplant_loss", "erasure_cost_acc"}
"""Measures beside family D that are computed from a run as a whole, after its panel."""


def failed_runs(rows: pd.DataFrame) -> set[str]:
    """Names of the runs that are not ``backdoored``: by no evaluator does their final ASR clear the benign twin's.

    Runs without such a row (tables of other readings) are never among them, nor are benign arms.
    """
    final = final_rows(rows)
    final = final[(final["measure"] == "backdoored") & (final["reference"] == "")]
    final = final[final["arm"].map(lambda arm: ARMS[arm].is_poisoned if arm in ARMS else True).astype(bool)]
    return set(final[final["value"] == 0]["run"])


def gated(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a study, with readings of learning ``too_few_hits`` in runs that are not backdoored.

    A backdoor that failed looks independent. The panel has set the status of its own readings, snapshot by snapshot;
    they do not change here.
    """
    measures = {name for name, m in MEASURES.items() if m.family == "D"} | INTERVENED
    failed = rows["run"].isin(failed_runs(rows)) & rows["measure"].isin(measures) & (rows["reference"] == "")
    failed &= (rows["kind"] != "matched") & rows["status"].isin(["ok", "not_estimable"])
    return rows.assign(status=rows["status"].mask(failed, "too_few_hits"))
