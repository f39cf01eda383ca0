"""What the commands show: progress and mistakes on stderr; answers, tables and written files on stdout."""

import difflib
import io
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import typer

__all__ = [
    *("columns", "files", "print_table", "progress", "say", "say_wrapped", "show", "stopwatch", "table_of", "tolerate"),
    "usage_line",
]

OPEN_FIRST = ("report.html", "report.md", "defences.md", "calibration.md")
"""What a reader opens first, in this order."""
PLAIN = str.maketrans(
    {"●": "O", "◉": "@", "─": "-", "│": "+", "├": "[", "┤": "]", "·": ".", "–": "-", "−": "-", "…": "...", "±": "+/-"}
)
"""What stands for a character that a terminal does not have."""


def stopwatch() -> Callable[[], str]:
    """Start a stopwatch: call it for the wall and CPU time since then."""
    wall, cpu = time.perf_counter(), time.process_time()
    return lambda: f"{time.perf_counter() - wall:.0f} s wall, {time.process_time() - cpu:.0f} s CPU"


def tolerate() -> None:
    """No output fails for want of a character: where it cannot be written, a question mark stands for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def columns() -> int:
    """The width of the terminal, or ``COLUMNS``; 200 where stdout is a file or a pipe."""
    return max(40, shutil.get_terminal_size((200, 24)).columns)


def say(text: str, *, err: bool = False) -> None:
    """Print text, with plain characters where the stream has no others."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)  # typer takes ASCII for UTF-8
    typer.echo(text, err=err)


Log = Callable[[str], None]
Bar = Callable[[int, int, str | Mapping[str, Any]], None]
"""Steps done, their number, and what is done: in words, or as the rates of an epoch."""


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[tuple[Log, Bar]]:
    """Lines for the steps of the work, and a bar with the time left for what has many steps, on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True, quiet=quiet),
    ) as shown:
        task = shown.add_task("", total=None, visible=False)
        last = math.inf

        def log(line: str) -> None:
            shown.reset(task, total=None, visible=False, description="")
            shown.console.print(line, highlight=False, markup=False)

        def bar(done: int, total: int, what: str | Mapping[str, Any]) -> None:
            nonlocal last
            if done < last:  # other work: its own time
                shown.reset(task, total=total)
            last = done
            if not isinstance(what, str):
                rates = {name: what[name] for name in ("loss", "acc", "asr")}
                what = "epochs  " + "  ".join(f"{name} {x:.3f}" for name, x in rates.items() if x == x)
            shown.update(task, total=total, completed=done, visible=True, description=f"  {what}")

        yield log, bar


def show(
    rows: Any, claims: Any, written: list[Path], as_json: bool, notice: str, spent: str, *, every: bool = False
) -> None:
    """The answer with what a reader must know of it, or the rows at the end of training as JSON; then the files.

    Args:
        rows: of one run or several, snapshots included. claims: verdicts on them, if any. every: print every reading
            and every part of a verdict before the answer.
    """
    from ..reports.answer import answer
    from ..reports.cautions import cautions
    from ..reports.claims_tables import claims_table
    from ..reports.readings_table import every_reading, readings_table
    from ..results.table import final_rows

    final = final_rows(rows)
    if as_json:
        # pandas' own writer rounds to 15 digits; these rows are to be compared.
        typer.echo(
            json.dumps(
                [
                    {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
                    for row in final.to_dict("records")
                ]
            )
        )
        files(written, spent, err=True)
        return
    if every:
        several = final["run"].nunique() > 1
        if several:
            table_of(readings_table(final), "Readings")
        else:
            table_of(every_reading(final), "Readings, by layer", head=1)
        if claims is not None and len(claims):
            table_of(claims_table(claims), "Verdicts, part by part", head=5)
    say(answer(rows, max(80, columns())))
    for remark in [*(cautions(final) if final["run"].nunique() > 1 else []), *([notice] if notice else [])]:
        say_wrapped(remark)
    files(written, spent)


def table_of(table: Any, title: str, *, head: int = 0) -> None:
    """A data frame as a table on stdout."""
    print_table(list(table.columns), table.itertuples(index=False), title, head=head)


def print_table(names: Sequence[str], rows: Iterable[Sequence[object]], title: str, *, head: int = 0) -> None:
    """A table on stdout that cuts nothing, whatever the width. ``head``: as in :func:`..reports.text_table`."""
    from ..reports.text_table import text_table

    say(f"{title}\n{text_table(names, rows, columns(), head=head)}\n")


def say_wrapped(line: str) -> None:
    """A sentence, wrapped between words."""
    from ..reports.text_table import wrap

    say("\n".join(wrap(line, min(columns(), 100))))


def files(written: Sequence[Path], spent: str, *, err: bool = False) -> None:
    """Where everything is, a line a folder; and what to open first."""
    from ..reports.text_table import wrap

    say(f"{spent}. Wrote:", err=err)
    for folder in dict.fromkeys(path.parent for path in written):
        names = [path.name for path in written if path.parent == folder]
        line = str(folder / names[0]) if len(names) == 1 else f"{folder}/  {'  '.join(names)}"
        say("\n".join(wrap("  " + line, columns() if not err else 100, indent="    ")), err=err)
    first = min((p for p in written if p.name in OPEN_FIRST), key=lambda p: OPEN_FIRST.index(p.name), default=None)
    if first is not None:
        say(f"Open {first} first.", err=err)


@runtime_checkable
class _UnknownOption(Protocol):
    """What typer raises where a command has no option of that name; its class is not public."""

    option_name: str
    possibilities: object
    ctx: typer.Context


def usage_line(error: typer.TyperException) -> str:
    """A mistake in the words of a command: the nearest option to one that is unknown, else typer's message."""
    if not isinstance(error, _UnknownOption):
        return error.format_message()
    known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
    options = [name for name in known if name.startswith("-")]
    nearest = difflib.get_close_matches(error.option_name, options, 1, cutoff=0)[0]
    return f"{error.ctx.info_name}: unknown option {error.option_name!r}; the nearest one is {nearest!r}"
