"""Two logs of CTRL by a third party, every fifth epoch: ``ctrl_logs.csv``, as docs/evidence/tried.md tells them."""

from functools import cache
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
SPAN = 100
"""Epochs that a line of the table stands for."""


@cache
def logs() -> pd.DataFrame:
    """``log`` (first or second), ``epoch``, ``acc`` and ``asr`` in per cent, images of the target class as hits."""
    return pd.read_csv(HERE / "ctrl_logs.csv")


def ranged(log: str, first: int, last: int, rate: str = "asr") -> str:
    """Lowest and highest rate in these epochs."""
    of = logs()[(logs()["log"] == log) & logs()["epoch"].between(first, last)][rate]
    return f"{of.min():.0f}–{of.max():.0f} %"


def median(log: str) -> str:
    return f"{logs().loc[logs()['log'] == log, 'asr'].median():.0f} %"


def at_the_end(log: str) -> str:
    last = logs()[logs()["log"] == log].iloc[-1]
    return f"{last['acc']:.1f} and {last['asr']:.1f} % (epoch {last['epoch']})"


def along() -> pd.DataFrame:
    """The range of both rates in every hundred epochs of both logs."""
    lines = []
    for start in range(0, int(logs()["epoch"].max()), SPAN):
        line = {"epochs": f"{start + 1}–{start + SPAN}"}
        for log in logs()["log"].unique():
            for rate in ("acc", "asr"):
                line[f"{log}: {rate.upper()}"] = ranged(log, start + 1, start + SPAN, rate)
        lines.append(line)
    return pd.DataFrame(lines)
