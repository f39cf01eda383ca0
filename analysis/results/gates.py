"""Gates: only runs whose backdoor works at the end of training are evidence of how it was learned."""

import pandas as pd

from ...representations.encoders import FEATURES
from .measures import MEASURES
from .schema import EVALUABLE
from .table import by_deciding_evaluator, final_rows

__all__ = ["failed_runs", "gated"]

INTERVENED = {"asr_half_point", "transplant_gain", "transplant_loss", "erasure_cost_acc"}
"""Measures beside family D that are computed from a run as a whole, after its panel."""


def failed_runs(rows: pd.DataFrame) -> set[str]:
    """Names of the runs whose final ASR does not exceed their benign twin's by :data:`.schema.EVALUABLE`.

    ASR is that on all test images. Runs without a benign twin (benign arms) are never among them.
    """
    final = final_rows(rows)
    asr = by_deciding_evaluator(final[(final["measure"] == "asr") & (final["layer"] == FEATURES)])
    own, benign = (asr[asr["reference"] == r].groupby("run")["value"].first() for r in ("", "benign"))
    excess = (own - benign).dropna()
    return set(excess[excess < EVALUABLE].index)


def gated(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a study, with readings of learning ``not_evaluable`` in runs whose backdoor failed.

    A backdoor that failed looks independent. The panel has set the status of its own readings, snapshot by snapshot;
    they do not change here.
    """
    measures = {name for name, m in MEASURES.items() if m.family == "D"} | INTERVENED
    failed = rows["run"].isin(failed_runs(rows)) & rows["measure"].isin(measures) & (rows["reference"] == "")
    failed &= (rows["kind"] != "matched") & rows["status"].isin(["ok", "not_estimable"])
    return rows.assign(status=rows["status"].mask(failed, "not_evaluable"))
