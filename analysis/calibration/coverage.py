"""Coverage: the share of intervals that contain the truth."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ..results.measures import MEASURES
from .parallel import Row, in_parallel
from .plant import Plant

__all__ = ["ACCEPTED", "coverage", "pooled"]

ACCEPTED = (0.92, 0.98)


def coverage(
    plants: Sequence[Plant], *, counts: dict[int, int], jobs: int = 2, log: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Share of intervals that contain the truth, by measure, subset, n and setting of the dials.

    Args:
        counts: n → number of replicates at each setting; a plant may ask for more.
    """

    def one(plant: Plant, setting: dict[str, float], n: int, seed: int) -> list[Row]:
        torch.set_num_threads(1)
        found = plant.read(n, setting, seed + 100_000, True)
        about = {"plant": plant.name, "n": n, "dials": _named(setting)}
        return [
            about | {"measure": m, "subset": s, "value": v, "low": low, "high": high}
            for (m, s), (v, low, high) in found.items()
        ]

    work = [
        (plant, setting, n, seed)
        for plant in plants
        for n, count in counts.items()
        if n in plant.counted
        for setting in plant.covered
        for seed in range(max(count, plant.redraws))
    ]
    rows = pd.DataFrame(in_parallel(one, work, jobs, log))
    truths = {plant.name: plant.truth for plant in plants}
    settings = {_named(setting): setting for plant in plants for setting in plant.covered}
    table = []
    for key, group in rows.groupby(["plant", "measure", "subset", "n", "dials"], sort=False):
        # The mean over all readings: leaving out those without an interval would be a selection.
        planted = truths[str(key[0])]
        truth = group["value"].mean() if planted is None else planted(settings[str(key[4])])
        known = group.dropna(subset=["value", "low", "high"])
        covered = (known["low"] <= truth) & (known["high"] >= truth)
        table.append(
            dict(zip(("plant", "measure", "subset", "n", "dials"), key, strict=True))
            | {
                "truth": truth,
                "mean": group["value"].mean(),
                "sd": group["value"].std(),
                "covered": covered.mean(),
                "replicates": len(known),
            }
            | {"half_width": ((known["high"] - known["low"]) / 2).mean(), "without": len(group) - len(known)}
        )
    return pd.DataFrame(table)


def _named(setting: Mapping[str, float]) -> str:
    return ", ".join(f"{dial} {value:g}" for dial, value in setting.items())


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage of each reading over all its settings, as text.

    Columns: coverage with its standard error; the lowest and highest of the settings; how many settings are outside of
    92 to 98 % by more than two standard errors; the numbers of intervals and of readings without one.
    """
    lines = []
    for (plant, measure, subset), group in table.groupby(["plant", "measure", "subset"], sort=False):
        total = int(group["replicates"].sum())
        if total == 0:  # nothing but readings without an interval
            continue
        share = float((group["covered"].fillna(0) * group["replicates"]).sum() / total)
        accepted = ACCEPTED[0] <= share <= ACCEPTED[1]
        rejected = [
            _rejected(covered, count)
            for covered, count in zip(group["covered"], group["replicates"], strict=True)
            if count > 0
        ]
        lines.append(
            {
                "reading": f"{measure} ({subset})",
                "planted": str(plant),
                "family": MEASURES[str(measure)].family,
                "coverage": f"{share:.3f} ± {np.sqrt(share * (1 - share) / total):.3f}",
                "settings, lowest to highest": f"{group['covered'].min():.3f} – {group['covered'].max():.3f}",
                "settings outside": f"{sum(rejected)} of {len(rejected)}",
                "intervals": str(total),
                "without": str(int(group["without"].sum())),
                "92–98 %": "yes" if accepted else "no",
            }
        )
    return pd.DataFrame(lines)


def _rejected(covered: float, count: int) -> bool:
    """Whether a coverage is outside of the accepted range by more than two standard errors."""
    low, high = (abs(end - covered) > 2 * np.sqrt(end * (1 - end) / count) for end in ACCEPTED)
    return bool((covered < ACCEPTED[0] and low) or (covered > ACCEPTED[1] and high))
