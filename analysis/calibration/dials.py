"""Dials: replicates of readings with each dial moved in turn, and whether readings follow their dials."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from ..results.measures import MEASURES
from .flatness import WORLDS
from .parallel import Row, in_parallel
from .plant import Plant

__all__ = ["FLAT", "FOLLOWS", "replicates", "verdicts"]

FOLLOWS, FLAT = 0.95, 0.15


def replicates(
    plants: Sequence[Plant], *, counts: dict[int, int], jobs: int = 2, log: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Readings with each dial moved in turn: columns ``plant, dial, n, setting, seed, measure, value``.

    Args:
        counts: n → number of replicates at each setting.
    """
    work = [
        (plant, dial, setting, n, seed)
        for plant in plants
        for n, count in counts.items()
        if n in (plant.sizes or counts)
        for dial, settings in plant.dials.items()
        for setting in settings
        for seed in range(count)
    ]

    def one(plant: Plant, dial: str, setting: float, n: int, seed: int) -> list[Row]:
        torch.set_num_threads(1)
        found = plant.read(n, plant.settled | {dial: setting}, seed, False)
        about = {"plant": plant.name, "dial": dial, "n": n, "setting": setting, "seed": seed}
        return [about | {"measure": name, "value": value[0]} for (name, _), value in found.items()]

    return pd.DataFrame(in_parallel(one, work, jobs, log))


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each reading: AUC at each n, detectable n, its movement by other dials, and the verdict.

    The plants with a share m are left out: see :func:`.flatness`.
    """
    lines = []
    table = table[~table["plant"].str.partition(",")[0].isin(WORLDS)]
    for name, rows in table.groupby("measure", sort=False):
        own = MEASURES[str(name)].dial
        if not own:
            continue
        sizes = sorted(rows["n"].unique())
        aucs = {n: _auc(rows[(rows["dial"] == own) & (rows["n"] == n)]) for n in sizes}
        detectable = [n for n in sizes if aucs[n] >= FOLLOWS]
        largest = rows[rows["n"] == sizes[-1]]
        move = _move(largest[largest["dial"] == own])
        others = {d: _move(largest[largest["dial"] == d]) / move for d in rows["dial"].unique() if d != own}
        passes = bool(detectable) and all(abs(share) <= FLAT for share in others.values())
        lines.append(
            {
                "reading": name,
                "dial": own,
                **{f"AUC, n = {n}": f"{auc:.2f}" if auc == auc else "–" for n, auc in aucs.items()},
                "detectable n": str(detectable[0]) if detectable else f"> {sizes[-1]}",
                "moved by the other dial": "; ".join(f"{d}: {share:+.2f}" for d, share in others.items()) or "–",
                "verdict": "passes" if passes else "fails",
            }
        )
    return pd.DataFrame(lines).fillna("–")  # not every plant has every n


def _ends(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Values at the second setting of a dial and at the last but one."""
    settings = sorted(rows["setting"].unique())
    low, high = (rows.loc[rows["setting"] == settings[i], "value"].dropna() for i in (1, -2))
    return low, high


def _auc(rows: pd.DataFrame) -> float:
    """Chance that a replicate at the higher setting has the larger value; ties count half.

    For measures that fall with the dial, the smaller value.
    """
    low, high = (part.to_numpy() for part in _ends(rows))
    if min(len(low), len(high)) < 0.8 * len(rows) / rows["setting"].nunique():
        return float("nan")  # too few replicates had a value
    wins = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
    return float(wins if MEASURES[rows["measure"].iloc[0]].rises else 1 - wins)


def _move(rows: pd.DataFrame) -> float:
    low, high = _ends(rows)
    return float(high.mean() - low.mean())
