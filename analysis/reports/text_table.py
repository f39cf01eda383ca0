"""A table as plain text that fits its width and cuts nothing."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

__all__ = ["text_table", "wrap"]

GAP, NBSP = "  ", "\xa0"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int) -> str:
    """Lines of at most ``width`` columns, unless a single word is longer.

    Cells are wrapped between words. Where that takes more lines than a block for each row, or does not fit at all,
    each row is a block: its first cell, then the others with the names of their columns. Empty cells are left out
    there.
    """
    cells = [[_whole(str(cell)) for cell in row] for row in rows]
    table, blocks = _table(columns, cells, width), _blocks(columns, cells, width)
    shown = table if table and len(table) <= max(len(blocks), 2 * len(cells) + 4) else blocks
    return "\n".join(line.rstrip() for line in shown).replace(NBSP, " ")


def wrap(line: str, width: int, *, indent: str = "  ") -> list[str]:
    """A line as lines of at most ``width`` columns, wrapped between words."""
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def _whole(cell: str) -> str:
    """An interval is one word."""
    return re.sub(r"\[[^][]*\]", lambda found: found[0].replace(" ", NBSP), cell)


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Empty if the longest words do not fit beside each other."""
    texts = [[name, *(row[i] for row in cells)] for i, name in enumerate(columns)]
    widths = [max(len(word) for text in column for word in text.split(" ")) for column in texts]
    wanted = [max(map(len, column)) for column in texts]
    left = width - sum(widths) - len(GAP) * (len(columns) - 1)
    if left < 0:
        return []
    # What is left goes first to the columns that lack least, so that few are wrapped.
    for count, i in enumerate(sorted(range(len(columns)), key=lambda i: wanted[i] - widths[i])):
        more = min(wanted[i] - widths[i], left // (len(columns) - count))
        widths[i], left = widths[i] + more, left - more

    def lines(row: Sequence[str]) -> list[str]:
        parts = zip_longest(*(wrap(cell, w, indent="") for cell, w in zip(row, widths, strict=True)), fillvalue="")
        return [GAP.join(part.ljust(w) for part, w in zip(line, widths, strict=True)) for line in parts]

    return [*lines(columns), GAP.join("─" * w for w in widths), *(line for row in cells for line in lines(row))]


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    lines = []
    for first, *others in cells:
        lines += wrap(first, width)
        line = ""
        for name, cell in zip(columns[1:], others, strict=True):
            item = f"{name} {cell}"
            if cell in ("", "–"):
                continue
            if line and len(line) + len(GAP) + len(item) > width:
                lines += wrap(line, width, indent="    ")
                line = ""
            line += GAP + item
        lines += wrap(line, width, indent="    ") if line else []
    return lines
