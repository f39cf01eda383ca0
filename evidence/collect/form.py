"""How tables are read, and how a number looks on a page."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from intertwine.analysis.reports.formatting import MISSING
from intertwine.probes.nulls import t_interval

from .. import TABLES


def read(name: str, **types: Any) -> pd.DataFrame:
    """A small table of ``evidence/tables``; empty text stays text."""
    return pd.read_csv(TABLES / f"{name}.csv", keep_default_na=False, **types)


def number(value: object, digits: int = 3) -> str:
    """With a dash for what is missing."""
    missing = value is None or value == "" or math.isnan(float(str(value)))
    return MISSING if missing else f"{float(str(value)):.{digits}f}".replace("-0.000", "0.000")


def with_interval(value: object, low: object, high: object) -> str:
    text = number(value)
    return text if MISSING in (text, number(low)) else f"{text} [{number(low)}, {number(high)}]"


def over_seeds(values: "pd.Series[float]") -> str:
    """Mean over seeds with Student's 95 % interval."""
    return with_interval(values.mean(), *t_interval(torch.tensor(values.to_numpy(dtype=float))))


def between(values: Iterable[object], digits: int = 3) -> str:
    """Lowest and highest, or the one there is."""
    known = pd.to_numeric(pd.Series(list(values)), errors="coerce").dropna()
    return " to ".join(dict.fromkeys(number(end, digits) for end in (known.min(), known.max())))


def made_by(row: Any) -> str:
    """Machine and commit: seven digits, and whether files differed from it."""
    version = f", torch {row.torch.partition('+')[0]}" if getattr(row, "torch", "") else ""
    return f"{row.machine}{version}; {row.commit[:7]}{'+changes' * row.commit.endswith('+changes')}"


def machines(table: pd.DataFrame) -> str:
    return " / ".join(dict.fromkeys(made_by(row) for row in table.itertuples()))
