"""A table as plain text that fits its width and cuts nothing."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

__all__ = ["text_table", "wrap"]

GAP, NBSP = "  ", "\xa0"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[object]], width: int, *, head: int = 0) -> str:
    """Lines of at most ``width`` columns, unless a single word is longer.

    Cells are wrapped between words. Where that takes many lines, or does not fit at all, each row is a block: its first
    cell, then the others with the names of their columns. Empty cells are left out there.

    Args:
        head: so many of the first columns are a line of their own, above the rows that share them. In rows where they
            are empty, those above apply.
    """
    cells = [[_whole(str(cell)) for cell in row] for row in rows]
    heads, rest, indent = [row[:head] for row in cells], [row[head:] for row in cells], GAP if head else ""
    top, lines = _table(columns[head:], rest, width - len(indent))
    blocks = _blocks(columns[head:], rest, width - len(indent))
    if not top or sum(map(len, lines)) > max(sum(map(len, blocks)), 2 * len(cells) + 2):
        top, lines = [], blocks
    shown = [indent + line for line in top]
    for i, (own, of_row) in enumerate(zip(heads, lines, strict=True)):
        if any(own) and (i == 0 or own != heads[i - 1]):
            others = [f"{name} {cell}" for name, cell in zip(columns[1:head], own[1:], strict=True) if cell]
            shown += wrap(GAP.join([own[0], *others]), width, indent=2 * GAP)
        shown += [indent + line for line in of_row]
    return "\n".join(line.rstrip() for line in shown).replace(NBSP, " ")


def wrap(line: str, width: int, *, indent: str = "  ") -> list[str]:
    """A line as lines of at most ``width`` columns, wrapped between words."""
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def _whole(cell: str) -> str:
    """An interval is one word."""
    return re.sub(r"\[[^][]*\]", lambda found: found[0].replace(" ", NBSP), cell)


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[list[str]]]:
    """The lines above the rows, and those of each row; none if the longest words do not fit beside each other."""
    texts = [[name, *(row[i] for row in cells)] for i, name in enumerate(columns)]
    widths = [max(len(word) for text in column for word in text.split(" ")) for column in texts]
    wanted = [max(map(len, column)) for column in texts]
    left = width - sum(widths) - len(GAP) * (len(columns) - 1)
    if left < 0:
        return [], []
    # What is left goes first to the columns that lack least, so that few are wrapped.
    for count, i in enumerate(sorted(range(len(columns)), key=lambda i: wanted[i] - widths[i])):
        more = min(wanted[i] - widths[i], left // (len(columns) - count))
        widths[i], left = widths[i] + more, left - more

    def lines(row: Sequence[str]) -> list[str]:
        parts = zip_longest(*(wrap(cell, w, indent="") for cell, w in zip(row, widths, strict=True)), fillvalue="")
        return [GAP.join(part.ljust(w) for part, w in zip(line, widths, strict=True)) for line in parts]

    return [*lines(columns), GAP.join("─" * w for w in widths)], list(map(lines, cells))


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The lines of each row."""
    blocks = []
    for first, *others in cells:
        lines, line = wrap(first, width), ""
        for name, cell in zip(columns[1:], others, strict=True):
            item = f"{name} {cell}"
            if cell in ("", "–"):
                continue
            if line and len(line) + len(GAP) + len(item) > width:
                lines += wrap(line, width, indent=2 * GAP)
                line = ""
            line += GAP + item
        blocks.append([*lines, *(wrap(line, width, indent=2 * GAP) if line else [])])
    return blocks
