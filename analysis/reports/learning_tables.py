"""Tables of how runs of a study learned: from their curves, and from interventions on their encoders."""

import pandas as pd

from ...probes.gradients import WHOLE
from ...representations.encoders import FEATURES
from ...training.arms import ARMS
from ..learning.forgetting import WAYS
from .formatting import MISSING, number, over_seeds

__all__ = ["interventions_table", "learning_table"]

# What is shown: title, measure, layer, way of forgetting, control.
INTERVENED = (
    *((f"forgetting coupling, {way}", "forgetting_coupling", WHOLE, way, "benign") for way in WAYS),
    ("ACC barrier", "acc_barrier", WHOLE, "", "permuted"),
    ("clean images changed by the backdoor's task vector", "disentanglement_error", WHOLE, "", "random-direction"),
    ("ASR half point", "asr_half_point", WHOLE, "", "permuted"),
    ("erasure cost at the output, ACC lost", "erasure_cost_acc", FEATURES, "", "benign"),
    ("erasure cost at the output, ACC lost", "erasure_cost_acc", FEATURES, "", "random-direction"),
    ("erasure cost at the output, ACC lost", "erasure_cost_acc", FEATURES, "", "class-direction"),
    ("erasure cost at the output, ASR lost", "erasure_cost_asr", FEATURES, "", "random-direction"),
)


def learning_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a poisoned arm, as text: means over seeds of what its curves report, with Student's 95 % interval.
    Readings that are not ``ok`` are left out."""
    arms = [arm for arm in ARMS if ARMS[arm].is_poisoned and arm in set(rows["arm"])]
    return pd.DataFrame(_curves(arm, rows[(rows["arm"] == arm) & (rows["status"] == "ok")]) for arm in arms)


def _curves(arm: str, rows: pd.DataFrame) -> dict[str, str]:
    """``rows``: those of the arm that are ok."""
    rows = rows[rows["value"].notna()]
    early = rows["epoch"] <= rows["epoch"].max() / 4
    coupled = rows[rows["measure"] == "dynamics_coupling"]
    seeds = set(coupled[coupled["reference"] == ""]["seed"])  # the null of the same runs as the mean
    null = coupled[(coupled["reference"] == "cross-seed") & coupled["seed"].isin(seeds)]["value"]
    aligned = rows[(rows["measure"] == "own_gradient_alignment") & (rows["layer"] == WHOLE) & (rows["epoch"] > 0)]
    own_alignment, benign, unrelated = (
        aligned[aligned["reference"] == reference].set_index(["seed", "epoch"])["value"]
        for reference in ("", "benign", "random-trigger")
    )
    own, early = rows[rows["reference"] == ""], early[rows["reference"] == ""]
    return {
        "arm": arm,
        "ACC": _mean(own[own["measure"] == "acc_windowed"], rate=True),
        "ASR": _mean(own[own["measure"] == "asr_windowed"], rate=True),
        "half-time gap, steps": _mean(own[own["measure"] == "half_time_gap"]),
        "coupling": _mean(coupled[coupled["reference"] == ""]),
        "its null": number(float(null.mean())) if len(null) else MISSING,
        "loss rank, early": _mean(own[early & (own["measure"] == "loss_rank_auc")]),
        "own alignment": _over_snapshots(own_alignment),
        "minus benign twin": _over_snapshots(own_alignment - benign),
        "minus random trigger": _over_snapshots(own_alignment - unrelated),
    }


def _mean(rows: pd.DataFrame, *, rate: bool = False) -> str:
    """Mean, interval and number of seeds."""
    by_seed = rows.groupby("seed")["value"].mean()
    if by_seed.empty:
        return MISSING
    return f"{number(float(by_seed.mean()))} {over_seeds(by_seed, rate=rate)}, {len(by_seed)}"


def _over_snapshots(values: "pd.Series[float]") -> str:
    """Mean of the means of each seed, interval, number of seeds and of snapshots. ``values``: by seed and epoch."""
    values = values.dropna()
    by_seed = values.groupby(level="seed").mean()
    if by_seed.empty:
        return MISSING
    return f"{number(float(by_seed.mean()))} {over_seeds(by_seed)}, {len(by_seed)} ({len(values)})"


def interventions_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading, control and poisoned arm, as text: means over seeds, and the paired difference to the control
    with Student's 95 % interval. Seeds whose reading is not ``ok`` are left out and counted."""
    lines = []
    arms = [arm for arm in ARMS if ARMS[arm].is_poisoned and arm in set(rows["arm"])]
    for title, measure, layer, way, control in INTERVENED:
        chosen = rows[(rows["measure"] == measure) & (rows["layer"] == layer)]
        if way:
            chosen = chosen[chosen["path"] == way]
        for arm in arms:
            of_arm = chosen[chosen["arm"] == arm]
            own, controls = (of_arm[of_arm["reference"] == r].set_index("seed") for r in ("", control))
            if own.empty:
                continue
            values = own[own["status"] == "ok"]["value"]
            against = controls[controls["status"] == "ok"]["value"].reindex(values.index)
            difference = (values - against).dropna()
            lines.append(
                {
                    "reading": title,
                    "arm": arm,
                    "mean": number(float(values.mean())),
                    "95 % interval": over_seeds(values),
                    "control": "benign twin" if control == "benign" else control,
                    "its mean": number(float(against.mean())),
                    "difference": number(float(difference.mean())),
                    "its 95 % interval": over_seeds(difference),
                    "seeds": f"{len(values)} of {len(own)}",
                    "left out": ", ".join(sorted(set(own[own["status"] != "ok"]["status"]))),
                }
            )
    return pd.DataFrame(lines)
