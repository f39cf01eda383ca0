"""Outcomes of defences, from their rows: one line for each defence and run."""

from collections.abc import Mapping

import pandas as pd

from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..results.schema import BACKDOORED, DEFAULT_EVALUATOR
from .catalogue import UNTREATED

__all__ = ["KEYS", "curves", "detections", "inspections", "mitigations"]

KEYS = ["recipe", "share", "arm", "seed", "defence"]
"""Columns that identify a line. ``share``: share of the target class that is poisoned, by the arm's labels, to a tenth.
Arms are compared at equal shares."""

COSTS = {"wall_seconds": "wall_s", "cpu_seconds": "cpu_s"}
DETECTED = ["auroc", "auprc", "tpr", "fpr"]
AFTER = {"acc": "clean", "asr": "triggered", "r_acc": "triggered", "neighbour_mixing": "triggered"}
USELESS = 0.2
"""An encoder that has lost this much ACC is not repaired, whatever its ASR."""


def _of_defences(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the kinds ``defence`` and ``roc``, with shares rounded to a tenth.

    Raises:
        InputError: two plans of one recipe, arm and seed poison the same share.
    """
    rows = rows[rows["kind"].isin(["defence", "roc"])]
    rows = rows.assign(share=rows["share"].round(1))
    plans = rows[rows["share"] > 0].groupby(KEYS[:-1])["plan"].nunique()
    if (plans > 1).any():
        recipe, share, arm, seed = plans.index[plans > 1][0]
        raise InputError(
            f"defences: expected one plan for each recipe, share of poison (to a tenth), arm and seed; received "
            f"several of {recipe}, {share:g}, {arm}, seed {seed:g}: give them an --out of their own"
        )
    return rows


def _means(rows: pd.DataFrame, keys: list[str], measures: Mapping[str, str]) -> pd.DataFrame:
    """Mean value of each measure by ``keys``. measures: measure → name of its column."""
    columns = {c: rows[rows["measure"] == m].groupby(keys, sort=False)["value"].mean() for m, c in measures.items()}
    return pd.DataFrame(columns, index=pd.MultiIndex.from_frame(rows[keys].drop_duplicates()))


def detections(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each detector, run and kind of labels.

    Columns: :data:`KEYS`, ``labels``, ``auroc``, ``auprc``, ``tpr``, ``fpr`` (NaN where undefined), ``auprc_random``,
    ``in_group``, ``wall_s``, ``cpu_s``. Benign arms, which several plans may share, have means over the plans.
    """
    rows = _of_defences(rows)
    rows = rows[rows["defence"].isin(rows[rows["measure"].str.startswith("detection_")]["defence"])]
    keys, own = [*KEYS, "labels"], rows[rows["reference"] == ""]
    chance = rows[rows["reference"] == "random"]
    lines = _means(
        own, keys, {f"detection_{name}": name for name in DETECTED} | COSTS | {"group_poison_share": "in_group"}
    )
    lines["auprc_random"] = _means(chance, keys, {"detection_auprc": "auprc"})["auprc"] if len(chance) else float("nan")
    return lines.reset_index()


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """ROC curves. Columns: :data:`KEYS`, ``labels``, ``x`` (FPR) and ``value`` (TPR)."""
    rows = _of_defences(rows)
    return rows[rows["kind"] == "roc"][[*KEYS, "labels", "x", "value"]]


def inspections(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each inspection and run; for benign arms as in :func:`detections`.

    Columns: :data:`KEYS`, ``flagged`` and ``target`` (0 or 1), ``score``, ``wall_s``, ``cpu_s``.
    """
    rows = _of_defences(rows)
    rows = rows[rows["defence"].isin(rows[rows["measure"].str.startswith("inspection_")]["defence"])]
    wanted = {f"inspection_{name}": name for name in ("flagged", "target", "score")}
    return _means(rows, KEYS, wanted | COSTS).reset_index()


def mitigations(rows: pd.DataFrame, evaluator: str = DEFAULT_EVALUATOR) -> pd.DataFrame:
    """One line for each mitigation and run.

    Columns: :data:`KEYS`, and after the treatment ``acc``, ``asr``, ``r_acc`` (by ``evaluator``) and
    ``neighbour_mixing`` (on ``triggered``, whatever its status). ``benign_…``: of the benign twin after the same
    treatment. ``before_…``: untreated.

    ``acc_lost``, ``benign_acc_lost``: falls of ACC. ``worked``: before, ASR exceeded the benign twin's by
    :data:`.schema.BACKDOORED`. ``removed``: share of the excess of ASR over the benign twin's that is gone, at most 1,
    and below 0 where the excess grew. It is NaN where the attack did not work, or ACC fell by more than
    :data:`USELESS`. ``wall_s``, ``cpu_s``: time of both treatments.
    """
    rows = _of_defences(rows)
    costs = rows[rows["measure"].isin(COSTS)]
    rows = rows[rows["measure"].isin(AFTER)]
    fits = (rows["layer"] == FEATURES) & rows["reference"].isin(["", "benign"])
    fits &= rows["evaluator"].isin(["", evaluator]) & (rows["subset"] == rows["measure"].map(AFTER))
    # Rows of the benign twin carry the run's name, and its own as other_run.
    rows = rows[fits & ((rows["other_run"] == "") | (rows["reference"] == "benign"))]
    index = pd.MultiIndex.from_frame(rows[KEYS].drop_duplicates())
    table = _means(costs, KEYS, COSTS).reindex(index)
    for prefix, reference in (("", ""), ("benign_", "benign")):
        for measure in AFTER:
            chosen = rows[(rows["measure"] == measure) & (rows["reference"] == reference)]
            table[f"{prefix}{measure}"] = chosen.groupby(KEYS)["value"].first()
    table = table.reset_index()
    rates = [f"{prefix}{measure}" for prefix in ("", "benign_") for measure in AFTER]
    before = table[table["defence"] == UNTREATED].set_index(KEYS[:-1])[rates].add_prefix("before_")
    table = table.join(before, on=KEYS[:-1])
    excess = table["before_asr"] - table["before_benign_asr"]
    lost, worked = table["before_acc"] - table["acc"], excess >= BACKDOORED
    removed = (1 - (table["asr"] - table["benign_asr"]) / excess).clip(upper=1.0)
    return table.assign(
        acc_lost=lost,
        benign_acc_lost=table["before_benign_acc"] - table["benign_acc"],
        worked=worked,
        removed=removed.where(worked & (lost <= USELESS)),
    )
