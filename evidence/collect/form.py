"""How a number looks on a page."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from intertwine.probes.nulls import t_interval

MISSING = "–"


def number(value: object, digits: int = 3) -> str:
    """With a dash for what is missing."""
    missing = value is None or value == "" or math.isnan(float(str(value)))
    return MISSING if missing else f"{float(str(value)):.{digits}f}".replace("-0.000", "0.000")


def with_interval(value: object, low: object, high: object, digits: int = 3) -> str:
    told = number(value, digits)
    return told if MISSING in (told, number(low)) else f"{told} [{number(low, digits)}, {number(high, digits)}]"


def over_seeds(values: "pd.Series[float]") -> str:
    """Mean over seeds with Student's 95 % interval."""
    if values.empty:
        return MISSING
    low, high = t_interval(torch.tensor(values.to_numpy(dtype=float)))
    return with_interval(values.mean(), low, high)


def between(values: "pd.Series[float]", digits: int = 3) -> str:
    """Lowest and highest, or the one there is."""
    known = values.dropna()
    ends = dict.fromkeys(number(end, digits) for end in (known.min(), known.max())) if len(known) else [MISSING]
    return " to ".join(ends)


def made_by(row: Any) -> str:
    """Machine and commit: seven digits, and whether files differed from it."""
    changed = "+changes" if str(row.commit).endswith("+changes") else ""
    torch_version = f", torch {row.torch.partition('+')[0]}" if getattr(row, "torch", "") else ""
    return f"{row.machine}{torch_version}; {row.commit[:7]}{changed}"


def one_of_each(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def markdown(table: pd.DataFrame) -> str:
    """A table of a page: cells as they are."""
    cells = table.map(lambda cell: str(cell).replace("|", "\\|"))
    return cells.to_markdown(index=False, disable_numparse=True)
