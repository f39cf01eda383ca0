"""Numbers, intervals and tables as text."""

import math
import re

import pandas as pd
import torch
from markdown_it import MarkdownIt
from markupsafe import Markup

from ...probes.nulls import rate_interval, t_interval

__all__ = ["MISSING", "interval", "markdown", "number", "over_seeds", "plain", "probability", "prose"]

MISSING = "–"


def number(value: float) -> str:
    """Three decimals; an en dash for NaN.

    >>> number(0.1234), number(-0.0001), number(float("nan"))
    ('0.123', '0.000', '–')
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    return f"{value:.3f}".replace("-0.000", "0.000")


def probability(value: float) -> str:
    """A p of a test, which is never 0."""
    return "< 0.001" if 0 <= value < 0.001 else number(value)


def interval(low: float, high: float) -> str:
    """Both limits in brackets; an en dash where either is missing."""
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else MISSING


def over_seeds(values: "pd.Series[float]", *, rate: bool = False) -> str:
    """Student's 95 % interval of the mean; that of a ``rate`` is formed on the log-odds, and stays in [0, 1]."""
    numbers = torch.tensor(values.to_numpy(dtype=float))
    return interval(*(rate_interval(numbers) if rate else t_interval(numbers)))


def markdown(table: pd.DataFrame) -> str:
    """A table in GitHub's Markdown. Text stays as it is and is not padded: one long cell would widen all lines."""
    escaped = table.map(lambda cell: str(cell).replace("|", "\\|"))
    head, rule, *lines = escaped.to_markdown(
        index=False, tablefmt="github", disable_numparse=True, stralign=None
    ).splitlines()
    return "\n".join([head, re.sub("-+", "---", rule), *lines])


def prose(text: str) -> Markup:
    """A passage in Markdown as HTML. HTML in it is text.

    >>> prose("`a` < **b**")
    Markup('<p><code>a</code> &lt; <strong>b</strong></p>\\n')
    """
    return Markup(MarkdownIt("commonmark", {"html": False}).render(str(text)))


def plain(text: str) -> str:
    """A cell without Markdown's emphasis.

    >>> plain("**all**")
    'all'
    """
    return text.replace("**", "")
