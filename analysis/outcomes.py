"""What came of defences, from their rows: one line a defence and run, in numbers."""

import pandas as pd

from ..representations.encoders import FEATURES
from .defences.catalogue import UNTREATED
from .panel import EVALUABLE
from .rows import parse_params

__all__ = ["KEYS", "curves", "detections", "inspections", "mitigations"]

KEYS = ["recipe", "share", "arm", "seed", "defence"]
"""What a line is about. ``share``: of the target's class, as the arm knows it, that is poisoned, to a tenth: arms are
compared at the same one."""

AFTER = {"acc": "C", "asr": "P", "r_acc": "P", "neighbour_mixing": "P"}


def _told(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with what their params say as columns."""
    params = rows["params"].map(parse_params)
    told = {key: params.map(lambda p, key=key: p.get(key, "")) for key in ("defence", "recipe", "labels", "evaluator")}
    numbers = {key: params.map(lambda p, key=key: float(p.get(key, "nan"))) for key in ("share", "wall_s", "cpu_s")}
    rows = rows.assign(**told, **numbers)
    return rows.assign(share=rows["share"].round(1))


def detections(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS`, ``labels``, ``auroc``, ``auprc``, ``tpr``, ``fpr`` (NaN where undefined), ``auprc_random``,
    ``wall_s``, ``cpu_s``."""
    rows = _told(rows[rows["measure"].str.startswith("detection_")])
    own = rows[rows["reference"] == ""]
    keys = [*KEYS, "labels"]
    wide = own.pivot_table(index=keys, columns="measure", values="value", sort=False, dropna=False)
    # What dropna=False adds beside undefined readings are combinations that are not there.
    wide = wide[wide.index.isin(pd.MultiIndex.from_frame(own[keys]))]
    wide.columns = [name.removeprefix("detection_") for name in wide.columns]
    chance = rows[(rows["reference"] == "random") & (rows["measure"] == "detection_auprc")]
    cost = own.groupby(keys)[["wall_s", "cpu_s"]].first()
    return wide.join(chance.groupby(keys)["value"].first().rename("auprc_random")).join(cost).reset_index()


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS`, ``labels``, ``x`` (FPR) and ``value`` (TPR)."""
    return _told(rows[rows["measure"] == "roc"])[[*KEYS, "labels", "x", "value"]]


def inspections(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS`, ``flagged`` and ``target`` (0 or 1), ``score``, ``wall_s``, ``cpu_s``."""
    rows = _told(rows[rows["measure"].str.startswith("inspection_")])
    lines = [
        dict(zip(KEYS, key, strict=True))
        | {r["measure"].removeprefix("inspection_"): r["value"] for _, r in own.iterrows()}
        | own[["wall_s", "cpu_s"]].iloc[0].to_dict()
        for key, own in rows.groupby(KEYS, sort=False)
    ]
    return pd.DataFrame(lines, columns=[*KEYS, "flagged", "target", "score", "wall_s", "cpu_s"])


def mitigations(rows: pd.DataFrame) -> pd.DataFrame:
    """:data:`KEYS` and, after the treatment, of the run and (``floor_…``) of its clean twin under the same one:
    ``acc``, ``asr``, ``r_acc``, ``neighbour_mixing`` (on P, whatever its status); each also untreated (``before_…``).

    ``acc_lost``, ``floor_acc_lost``. ``worked``: before, ASR cleared its floor by :data:`.panel.EVALUABLE`.
    ``removed``: of what ASR was above its floor before, the share that is gone (below 0: there is more; NaN where the
    attack did not work). ``wall_s``, ``cpu_s``: of the treatment of both.
    """
    rows = _told(rows[rows["measure"].isin(AFTER)])
    fits = (rows["layer"] == FEATURES) & rows["x"].isna() & rows["reference"].isin(["", "floor"])
    fits &= rows["evaluator"].isin(["", "knn"]) & (rows["subset"] == rows["measure"].map(AFTER))
    # A reading of the floor stands beside the run's, under its name.
    rows = rows[fits & ((rows["run_b"] == "") | (rows["reference"] == "floor"))]
    lines = []
    for key, own in rows.groupby(KEYS, sort=False):
        values = {
            f"{prefix}{measure}": float(found.iloc[0]) if len(found) else float("nan")
            for prefix, reference in (("", ""), ("floor_", "floor"))
            for measure in AFTER
            for found in [own[(own["measure"] == measure) & (own["reference"] == reference)]["value"]]
        }
        lines.append(dict(zip(KEYS, key, strict=True)) | values | own[["wall_s", "cpu_s"]].iloc[0].to_dict())
    rates = [f"{prefix}{measure}" for prefix in ("", "floor_") for measure in AFTER]
    table = pd.DataFrame(lines, columns=[*KEYS, *rates, "wall_s", "cpu_s"])
    before = table[table["defence"] == UNTREATED].set_index(KEYS[:-1])[rates].add_prefix("before_")
    table = table.join(before, on=KEYS[:-1])
    excess = table["before_asr"] - table["before_floor_asr"]
    worked = excess >= EVALUABLE
    return table.assign(
        acc_lost=table["before_acc"] - table["acc"],
        floor_acc_lost=table["before_floor_acc"] - table["floor_acc"],
        worked=worked,
        removed=(1 - (table["asr"] - table["floor_asr"]) / excess).where(worked),
    )
