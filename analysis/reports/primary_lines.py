"""The primary readings as lines of text, each on a strip from *apart* to *together*."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..results.measures import PRIMARY
from ..results.schema import LEAST_HITS
from .formatting import interval, number
from .labels import LABELS
from .readings_table import shown_rows
from .strip import BESIDES, strip

__all__ = ["primary_lines"]

LEAST_STRIP, WIDEST = 10, 100
"""Fewest columns of a strip, and most of a line with one."""
HEAD = "95 % interval"
LEGEND = "● value  ─ 95 % interval  │ benign twin  ◉ value and twin  outside ├ ┤: beyond"
STATUSES = {"not_estimable": "a gradient is not told from noise", "not_evaluable": "not evaluable"}
NOT_MEASURED = "not measured"

Line = Mapping[str, Any]
"""A row."""


def primary_lines(rows: pd.DataFrame, width: int, *, notes: bool = True) -> list[str]:
    """A line a primary of one run, between a header and a legend. One without a valid value has its status instead.

    Args:
        width: 80 or more columns.
        notes: also give the reason of a reading that is undefined; such a line may be longer.
    """
    shown = shown_rows(rows)
    of = {
        measure: {line["reference"]: line for line in reversed(shown[shown["measure"] == measure].to_dict("records"))}
        for measure in PRIMARY
    }
    if not any("" in references for references in of.values()):
        return ["None of the primary readings was measured."]
    words = {measure: _status(references.get(""), notes) for measure, references in of.items()}
    name = max(len(LABELS[measure]) for measure in PRIMARY)
    texts = {measure: _texts(of[measure]) for measure, status in words.items() if not status}
    if not texts:
        return [f"{LABELS[measure]:{name}}  {status}" for measure, status in words.items()]
    sizes = [max(map(len, column)) for column in zip(("value", HEAD, "apart", ""), *texts.values(), strict=True)]
    axis = max(LEAST_STRIP, min(width, WIDEST) - name - sum(sizes) - BESIDES - 6)
    lines = [_line("", name, ("value", HEAD, "apart", ""), sizes, " " * (axis + BESIDES))]
    lines[0] = lines[0][: -len("together")] + "together"
    for measure, status in words.items():
        drawn = status or _drawn(of[measure], axis)
        texts_of = texts.get(measure)
        lines.append(
            f"{LABELS[measure]:{name}}  {drawn}" if texts_of is None else _line(measure, name, texts_of, sizes, drawn)
        )
    return [*lines, LEGEND]


def _line(measure: str, name: int, texts: tuple[str, ...], sizes: list[int], drawn: str) -> str:
    value, limits, apart, together = (f"{text:>{size}}" for text, size in zip(texts, sizes, strict=True))
    return f"{LABELS.get(measure, ''):{name}}  {value} {limits} {apart} {drawn} {together}"


def _texts(of: Mapping[str, Line]) -> tuple[str, str, str, str]:
    own = of[""]
    limits = interval(own["ci_low"], own["ci_high"])
    return number(own["value"]), limits, number(_value(of, "apart")), number(_value(of, "together"))


def _drawn(of: Mapping[str, Line], axis: int) -> str:
    own, ends = of[""], (_value(of, "apart"), _value(of, "together"))
    drawn = strip(own["value"], (own["ci_low"], own["ci_high"]), ends, _value(of, "benign"), width=axis)
    return f"{drawn or ('equal ends' if ends[0] == ends[1] else 'no ends'):{axis + BESIDES}}"


def _value(of: Mapping[str, Line], reference: str) -> float:
    line = of.get(reference, {"status": ""})
    return float(line["value"]) if line["status"] == "ok" else math.nan


def _status(own: Line | None, notes: bool) -> str:
    """What to print in place of the value; empty if it is valid."""
    if own is None:
        return NOT_MEASURED
    if own["status"] == "ok":
        return ""
    if own["status"] == "too_few_hits":
        return f"too few hits: {own['n']}, at least {LEAST_HITS} are needed"
    said = STATUSES.get(own["status"], str(own["status"]))
    return f"{said}: {own['note']}" if notes and own["note"] else said
