"""Are the primaries monotone in the share that is common to both tasks, and flat in everything else?"""

import pandas as pd

from ..results.measures import MEASURES

__all__ = ["UNMOVED", "WORLDS", "flatness", "monotone"]

WORLDS = ("mixtures", "networks")
"""Plants with a share m: of the hits that is mixed, and of the backdoor that runs through the class's branch."""
UNMOVED = 0.05


def monotone(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each reading and n, as text: its mean at each share m, and whether it is monotone in m.

    Args:
        table: of :func:`.replicates`.
    """
    lines = []
    for (name, n), rows in _of_worlds(table, own=True).groupby(["measure", "n"], sort=False):
        means = rows.groupby("setting")["value"].mean()
        steps = means.diff().dropna() * (1 if MEASURES[str(name)].rises else -1)
        line = {"reading": str(name), "n": str(n)} | {f"m = {m:g}": f"{value:.3f}" for m, value in means.items()}
        lines.append(line | {"monotone": "yes" if (steps > 0).all() else "no"})
    return pd.DataFrame(lines)


def flatness(table: pd.DataFrame) -> pd.DataFrame:
    """One line for each reading and dial, as text: how far the dial moves the mean, at each m.

    The change is the largest mean minus the smallest over the dial's settings, with a sign: + where the mean at the
    last setting is the larger one. A reading is flat where no change exceeds .05. ``n`` is a dial too.

    Args:
        table: of :func:`.replicates`.
    """
    rows = _of_worlds(table, own=False)
    at = rows["plant"].str.extract(r"m = ([\d.]+)$")[0].astype(float)
    sizes = _of_worlds(table, own=True)
    sizes = sizes.assign(dial="n", at=sizes["setting"], setting=sizes["n"])
    rows = pd.concat([rows.assign(at=at), sizes[sizes["at"].isin(at.unique())]])
    lines = []
    for (name, dial), of_dial in rows.groupby(["measure", "dial"], sort=False):
        settings = sorted(of_dial["setting"].unique())
        changes = {str(m): _change(group) for m, group in of_dial.groupby("at")}
        flat = all(abs(change) <= UNMOVED for change in changes.values())
        lines.append(
            {"reading": str(name), "dial": str(dial), "settings": ", ".join(f"{s:g}" for s in settings)}
            | {f"change at m = {float(m):g}": f"{change:+.3f}" for m, change in changes.items()}
            | {"flat": "yes" if flat else "no"}
        )
    return pd.DataFrame(lines)


def _of_worlds(table: pd.DataFrame, *, own: bool) -> pd.DataFrame:
    """The rows of the plants with a share m in which a reading's own dial moves, or another one."""
    table = table[table["plant"].str.partition(",")[0].isin(WORLDS)]
    moves = table["measure"].map(lambda name: MEASURES[str(name)].dial) == table["dial"]
    return table[moves == own]


def _change(rows: pd.DataFrame) -> float:
    means = rows.groupby("setting")["value"].mean().sort_index()
    change = float(means.max() - means.min())
    return change if means.iloc[-1] >= means.iloc[0] else -change
