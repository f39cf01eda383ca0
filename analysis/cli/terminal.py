"""What the commands show: progress and mistakes on stderr, tables and the files that were written on stdout."""

import difflib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import typer

__all__ = ["files", "print_table", "progress", "show", "stopwatch", "table_of", "usage_line"]


SHORT = ["claim", "arm", "against", "verdict", "backdoored", "reading", "must be", "value", "90 % interval", "part"]
"""The columns of verdicts that a terminal has room for."""


def stopwatch() -> Callable[[], str]:
    """Start a stopwatch: call it for the wall and CPU time since then."""
    wall, cpu = time.perf_counter(), time.process_time()
    return lambda: f"{time.perf_counter() - wall:.0f} s wall, {time.process_time() - cpu:.0f} s CPU"


Log = Callable[[str], None]
OnEpoch = Callable[[int, int, dict[str, Any]], None]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[tuple[Log, OnEpoch]]:
    """Lines for the steps of the work, and for a training run a bar with its time left, on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True, quiet=quiet),
    ) as bar:
        task = bar.add_task("", total=None, visible=False)

        def log(line: str) -> None:
            bar.reset(task, total=None, visible=False, description="")
            bar.console.print(line, highlight=False, markup=False)

        def on_epoch(done: int, total: int, row: dict[str, Any]) -> None:
            readings = "  ".join(f"{k} {row[k]:.3f}" for k in ("loss", "acc", "asr") if row[k] == row[k])
            bar.update(task, total=total, completed=done, visible=True, description=f"  epochs  {readings}")

        yield log, on_epoch


def show(rows: Any, claims: Any, written: list[Path], as_json: bool, notice: str, spent: str) -> None:
    """Tables of readings and verdicts with what a reader must know of them, or ``rows`` as JSON; then the files."""
    if as_json:
        # pandas' own writer rounds to 15 digits; these rows are to be compared.
        typer.echo(
            json.dumps(
                [
                    {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
                    for row in rows.to_dict("records")
                ]
            )
        )
        files(written, spent, err=True)
        return
    from rich.console import Console

    from ..reports.cautions import cautions
    from ..reports.claims_tables import claims_table
    from ..reports.readings_table import readings_table

    console = Console(width=None if sys.stdout.isatty() else 200)
    for title, table in (
        ("Readings", readings_table(rows)),
        ("Verdicts", claims_table(claims)[SHORT] if claims is not None else None),
    ):
        if table is None or table.empty:
            continue
        table_of(table, title)
    for remark in [*(cautions(rows) if claims is not None else []), *([notice] if notice else [])]:
        console.print(remark, style="bold", markup=False, highlight=False)
    files(written, spent)


def table_of(table: Any, title: str) -> None:
    """A data frame as a table on stdout."""
    print_table(list(table.columns), table.itertuples(index=False), title)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*(escape(str(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(shown)


def files(written: list[Path], spent: str, *, err: bool = False) -> None:
    typer.echo(f"{spent}. Wrote:", err=err)
    for path in written:
        typer.echo(f"  {path}", err=err)


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
