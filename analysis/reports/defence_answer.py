"""What came of defences, for a terminal: three short tables and a line a verdict on C5."""

import pandas as pd

from ..claims.defence_claims import judge_defences
from ..defences.outcomes import detections, inspections, mitigations
from .defence_tables import detection_table, inspection_table, mitigation_table
from .text_table import text_table

__all__ = ["defence_answer"]

WHERE = ["recipe", "share"]
DETECTION = ["arm", "detector", "labels", "AUROC", "TPR", "FPR"]
INSPECTION = ["arm", "inspection", "flagged", "names the target"]
MITIGATION = ["arm", "mitigation", "ASR", "benign twin's ASR", "ACC lost", "repaired"]


def defence_answer(rows: pd.DataFrame, evaluator: str, width: int = 80) -> str:
    """Means over seeds of every defence on every arm, then the verdicts.

    Args:
        rows: of the kind ``defence``. evaluator: whose rates after mitigations are shown.
    """
    detected, treated = detections(rows), mitigations(rows, evaluator)
    tables = {
        "Detection: of training images": (detection_table(detected), DETECTION),
        "Inspection: share of encoders that are flagged": (inspection_table(inspections(rows)), INSPECTION),
        "Mitigation: what is left of the attack": (mitigation_table(treated), MITIGATION),
    }
    blocks = []
    for title, (table, columns) in tables.items():
        if len(table):
            several = [column for column in WHERE if table[column].nunique() > 1]
            shown = table[[*several, *columns]]
            blocks.append(f"{title}\n{text_table(list(shown.columns), shown.itertuples(index=False), width)}")
    claims = judge_defences(detected, treated)
    verdicts = claims[claims["verdict"] != ""]
    lines = [(c.claim, c.kind, f"{c.arm} against {c.against}", c.verdict) for c in verdicts.itertuples()]
    if lines:
        blocks.append(text_table(["claim", "by", "arm", "verdict"], lines, width))
    return "\n\n".join(blocks)
