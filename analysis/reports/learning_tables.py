"""Tables of a study's readings of learning: what curves say, and what interventions on the encoders cost."""

import pandas as pd

from ...probes.gradients import WHOLE
from ...representations.encoders import FEATURES
from ...training.arms import ARMS
from ..learning.forgetting import WAYS
from .readings_table import number, over_seeds

__all__ = ["interventions_table", "learning_table"]

# What is shown: title, measure, layer, way, and the control that it is held against.
INTERVENED = (
    *((f"forgetting coupling, {way}", "forgetting_coupling", WHOLE, way, "benign") for way in WAYS),
    ("ACC barrier", "acc_barrier", WHOLE, "", "permuted"),
    ("ASR half point", "asr_half_point", WHOLE, "", "permuted"),
    ("erasure cost at the output, ΔACC", "erasure_cost_acc", FEATURES, "", "benign"),
    ("erasure cost at the output, ΔACC", "erasure_cost_acc", FEATURES, "", "random-direction"),
    ("erasure cost at the output, ΔACC", "erasure_cost_acc", FEATURES, "", "class-direction"),
    ("erasure cost at the output, ΔASR", "erasure_cost_asr", FEATURES, "", "random-direction"),
)


def learning_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a poisoned arm: mean over seeds of what its curves say, with Student's 95 % interval; text. Readings
    that are not ``ok`` are left out."""
    lines = []
    for arm in (arm for arm in ARMS if ARMS[arm].is_poisoned and arm in set(rows["arm"])):
        own = rows[(rows["arm"] == arm) & (rows["status"] == "ok") & rows["value"].notna()]
        early = own["epoch"] <= own["epoch"].max() / 4
        coupled = own[own["measure"] == "dynamics_coupling"]
        seeds = set(coupled[coupled["reference"] == ""]["seed"])  # the null of runs that count, as the mean beside it
        null = coupled[(coupled["reference"] == "cross-seed") & coupled["seed"].isin(seeds)]["value"]
        aligned = own[(own["measure"] == "own_gradient_alignment") & (own["layer"] == WHOLE) & (own["epoch"] > 0)]
        by_reference = {
            reference: aligned[aligned["reference"] == reference].set_index(["seed", "epoch"])["value"]
            for reference in ("", "benign", "random-trigger")
        }
        own, early = own[own["reference"] == ""], early[own["reference"] == ""]
        lines.append(
            {
                "arm": arm,
                "ACC": _told(own[own["measure"] == "acc_windowed"]),
                "ASR": _told(own[own["measure"] == "asr_windowed"]),
                "half-time gap, steps": _told(own[own["measure"] == "half_time_gap"]),
                "coupling": _told(coupled[coupled["reference"] == ""]),
                "its null": number(float(null.mean())) if len(null) else "–",
                "loss rank, early": _told(own[early & (own["measure"] == "loss_rank_auc")]),
                "own alignment": _snapshots(by_reference[""]),
                "minus its benign twin": _snapshots(by_reference[""] - by_reference["benign"]),
                "minus a random trigger's": _snapshots(by_reference[""] - by_reference["random-trigger"]),
            }
        )
    return pd.DataFrame(lines)


def _told(chosen: pd.DataFrame) -> str:
    by_seed = chosen.groupby("seed")["value"].mean()
    return f"{number(float(by_seed.mean()))} {over_seeds(by_seed)}, {len(by_seed)}" if len(by_seed) else "–"


def _snapshots(values: "pd.Series[float]") -> str:
    """Of values by seed and epoch: first the mean of each seed."""
    values = values.dropna()
    by_seed = values.groupby(level="seed").mean()
    if by_seed.empty:
        return "–"
    return f"{number(float(by_seed.mean()))} {over_seeds(by_seed)}, {len(by_seed)} ({len(values)})"


def interventions_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a reading, control and poisoned arm: means over seeds, and the paired difference to the control with
    Student's 95 % interval; text. Seeds whose reading is not ``ok`` are left out and counted."""
    lines = []
    arms = [arm for arm in ARMS if ARMS[arm].is_poisoned and arm in set(rows["arm"])]
    for title, measure, layer, way, control in INTERVENED:
        chosen = rows[(rows["measure"] == measure) & (rows["layer"] == layer)]
        if way:
            chosen = chosen[chosen["path"] == way]
        for arm in arms:
            of_arm = chosen[chosen["arm"] == arm]
            own, held = (of_arm[of_arm["reference"] == r].set_index("seed") for r in ("", control))
            if own.empty:
                continue
            values = own[own["status"] == "ok"]["value"]
            against = held[held["status"] == "ok"]["value"].reindex(values.index)
            difference = (values - against).dropna()
            lines.append(
                {
                    "reading": title,
                    "arm": arm,
                    "mean": number(float(values.mean())),
                    "95 % interval": over_seeds(values),
                    "held against": control,
                    "its mean": number(float(against.mean())),
                    "difference": number(float(difference.mean())),
                    "its 95 % interval": over_seeds(difference),
                    "seeds": f"{len(values)} of {len(own)}",
                    "left out": ", ".join(sorted(set(own[own["status"] != "ok"]["status"]))),
                }
            )
    return pd.DataFrame(lines)
