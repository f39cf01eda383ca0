"""Which runs say something about learning: those whose backdoor works at the end."""

import pandas as pd

from ...representations.encoders import FEATURES
from .measures import MEASURES
from .schema import EVALUABLE
from .table import by_deciding_evaluator, final_rows

__all__ = ["failed_runs", "gated"]

INTERVENED = {"asr_half_point", "transplant_gain", "transplant_loss", "erasure_cost_acc"}
"""Beside family D: what is read off a run as a whole, after its panel."""


def failed_runs(rows: pd.DataFrame) -> set[str]:
    """Runs whose ASR (all test images, at the end of training) does not clear its benign twin's by
    :data:`.panel.EVALUABLE`. Runs without a benign twin (clean arms) are none of them."""
    final = final_rows(rows)
    asr = by_deciding_evaluator(final[(final["measure"] == "asr") & (final["layer"] == FEATURES)])
    own, benign = (asr[asr["reference"] == r].groupby("run")["value"].first() for r in ("", "benign"))
    excess = (own - benign).dropna()
    return set(excess[excess < EVALUABLE].index)


def gated(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a study in which readings of how a run learned are ``not_evaluable`` where its backdoor failed: one
    decision a run, the panel's. A backdoor that failed looks independent.

    The panel has given its own readings their status, snapshot by snapshot; they stay as they are.
    """
    measures = {name for name, m in MEASURES.items() if m.family == "D"} | INTERVENED
    told = rows["run"].isin(failed_runs(rows)) & rows["measure"].isin(measures) & (rows["reference"] == "")
    told &= (rows["kind"] != "matched") & rows["status"].isin(["ok", "not_estimable"])
    return rows.assign(status=rows["status"].mask(told, "not_evaluable"))
