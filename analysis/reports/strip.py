"""A reading on a strip of text: from *apart* to *together* in the same encoder."""

import math

__all__ = ["BESIDES", "strip"]

LINE, INTERVAL, TWIN, VALUE, BOTH = "·", "─", "│", "●", "◉"
LEFT, RIGHT = "├", "┤"
BESIDES = 4
"""Columns of a strip beside its axis: both brackets, and outside each a cell for what lies beyond that end."""


def strip(
    value: float,
    interval: tuple[float, float],
    ends: tuple[float, float],
    twin: float = math.nan,
    *,
    width: int,
) -> str:
    """One line of ``width + BESIDES`` characters.

    ``●`` is the value, ``─`` its interval, ``│`` the benign twin, ``◉`` value and twin in one place. A mark outside
    the brackets lies beyond that end.

    Args:
        ends: the reading where tasks are apart, and where they are together, in this order.
        twin: NaN if there is none.
        width: columns between the brackets.

    Returns:
        the strip; empty if an end or the value is not finite, or both ends are equal.

    >>> strip(0.5, (0.4, 0.6), (0.0, 1.0), 0.1, width=11)
    ' ├·│··─●─····┤ '
    >>> strip(0.8, (0.7, 0.9), (0.5, 0.0), width=5)
    '●├·····┤ '
    """
    apart, together = ends
    if not all(map(math.isfinite, (value, *ends))) or apart == together:
        return ""

    def column(x: float) -> int:
        place = round((x - apart) / (together - apart) * (width - 1))
        return 0 if place < 0 else width + 3 if place >= width else 2 + place

    cells = [" ", LEFT, *LINE * width, RIGHT, " "]
    if all(map(math.isfinite, interval)):
        first, last = sorted(map(column, interval))
        for i in range(first, last + 1):
            cells[i] = cells[i] if i in (1, width + 2) else INTERVAL
    marked = column(value)
    if math.isfinite(twin):
        cells[column(twin)] = TWIN
    cells[marked] = BOTH if cells[marked] == TWIN else VALUE
    return "".join(cells)
