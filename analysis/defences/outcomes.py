"""What came of defences, from their rows: one line a defence and run, in numbers."""

from collections.abc import Mapping

import pandas as pd

from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..results.schema import DEFAULT_EVALUATOR, EVALUABLE
from .catalogue import UNTREATED

__all__ = ["KEYS", "curves", "detections", "inspections", "mitigations"]

KEYS = ["recipe", "share", "arm", "seed", "defence"]
"""What a line is about. ``share``: of the target's class, as the arm knows it, that is poisoned, to a tenth: arms are
compared at the same one."""

COSTS = {"wall_seconds": "wall_s", "cpu_seconds": "cpu_s"}
DETECTED = ["auroc", "auprc", "tpr", "fpr"]
AFTER = {"acc": "clean", "asr": "triggered", "r_acc": "triggered", "neighbour_mixing": "triggered"}
USELESS = 0.2
"""An encoder that has lost so much ACC is not repaired, whatever its ASR."""


def _of_defences(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the kinds ``defence`` and ``roc``, shares to a tenth.

    Raises:
        InputError: two plans of one recipe, arm and seed poison the same share, to a tenth.
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
    """Mean value of each measure by ``keys``, in columns of other names: measure → column."""
    columns = {c: rows[rows["measure"] == m].groupby(keys, sort=False)["value"].mean() for m, c in measures.items()}
    return pd.DataFrame(columns, index=pd.MultiIndex.from_frame(rows[keys].drop_duplicates()))


def detections(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS`, ``labels``, ``auroc``, ``auprc``, ``tpr``, ``fpr`` (NaN where undefined), ``auprc_random``,
    ``in_group``, ``wall_s``, ``cpu_s``. Of benign arms, whose encoder several plans may share, means over these."""
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
    """:data:`KEYS`, ``labels``, ``x`` (FPR) and ``value`` (TPR)."""
    rows = _of_defences(rows)
    return rows[rows["kind"] == "roc"][[*KEYS, "labels", "x", "value"]]


def inspections(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS`, ``flagged`` and ``target`` (0 or 1), ``score``, ``wall_s``, ``cpu_s``; of benign arms as in
    :func:`detections`."""
    rows = _of_defences(rows)
    rows = rows[rows["defence"].isin(rows[rows["measure"].str.startswith("inspection_")]["defence"])]
    wanted = {f"inspection_{name}": name for name in ("flagged", "target", "score")}
    return _means(rows, KEYS, wanted | COSTS).reset_index()


def mitigations(rows: pd.DataFrame, evaluator: str = DEFAULT_EVALUATOR) -> pd.DataFrame:
    """:data:`KEYS` and, after the treatment, of the run and (``benign_…``) of its benign twin under the same one:
    ``acc``, ``asr``, ``r_acc``, ``neighbour_mixing`` (on ``triggered``, whatever its status); each also untreated
    (``before_…``). Rates are those by ``evaluator``.

    ``acc_lost``, ``benign_acc_lost``. ``worked``: before, ASR cleared its benign twin by :data:`.schema.EVALUABLE`.
    ``removed``: of what ASR was above its benign twin before, the share that is gone, at most 1 (below 0: there is
    more); NaN where the attack did not work, and where ACC fell by more than :data:`USELESS`. ``wall_s``, ``cpu_s``:
    of the treatment of both.
    """
    rows = _of_defences(rows)
    costs = rows[rows["measure"].isin(COSTS)]
    rows = rows[rows["measure"].isin(AFTER)]
    fits = (rows["layer"] == FEATURES) & rows["reference"].isin(["", "benign"])
    fits &= rows["evaluator"].isin(["", evaluator]) & (rows["subset"] == rows["measure"].map(AFTER))
    # A reading of the benign twin is beside the run's, under its name.
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
    lost, worked = table["before_acc"] - table["acc"], excess >= EVALUABLE
    removed = (1 - (table["asr"] - table["benign_asr"]) / excess).clip(upper=1.0)
    return table.assign(
        acc_lost=lost,
        benign_acc_lost=table["before_benign_acc"] - table["benign_acc"],
        worked=worked,
        removed=removed.where(worked & (lost <= USELESS)),
    )
