"""Options that several commands share, and how their text is read."""

from pathlib import Path
from typing import Annotated

import typer

from ...representations.errors import InputError

__all__ = [
    *("DataRoot", "Device", "Evaluator", "Json", "Out", "Runs", "Skip", "Threads"),
    *("fields", "set_threads", "three"),
]

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Evaluator = Annotated[
    str, typer.Option(help="knn or ridge: which decides hits and whether a backdoor works. Rates are given by both.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; part of the run hash, since bits depend on it.")]
Json = Annotated[bool, typer.Option("--json", help="Print rows as JSON; everything else goes to stderr.")]
DataRoot = Annotated[Path | None, typer.Option(help="Where data sets are, or are downloaded to.")]
Skip = Annotated[bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and say which.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders, or folders with runs below them.")]


def fields(arguments: list[str]) -> dict[str, str]:
    """``--field value`` and ``--field=value`` pairs as recipe fields."""
    given: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("--"):
            raise InputError(f"train: expected --field value, received {word!r}")
        name, equals, value = word[2:].partition("=")
        if not equals and (value := next(rest, "")) == "":
            raise InputError(f"train: expected a value after --{name}, received none")
        given[name.replace("-", "_")] = value
    return given


def three(name: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, second, third = map(float, text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"{name}: expected three numbers, received {text!r}") from None
    return first, second, third


def set_threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)
