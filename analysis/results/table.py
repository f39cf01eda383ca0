"""Read, write and select rows (see :mod:`.schema`)."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from .schema import COLUMNS, FLAGS, KINDS, NUMBERS, STATUSES, WHOLE_NUMBERS

__all__ = [
    "by_deciding_evaluator",
    "deciding_evaluators",
    "final_rows",
    "find_table",
    "read_rows",
    "select",
    "without_points",
    "write_rows",
]


def by_deciding_evaluator(rates: pd.DataFrame) -> pd.DataFrame:
    """The rows of rates by the evaluator that decides in their run."""
    return rates[rates["decides"].astype(bool)]


def deciding_evaluators(rows: pd.DataFrame) -> list[str]:
    """The evaluators that decide in the runs of these rows, sorted."""
    return sorted(
        set(by_deciding_evaluator(rows[(rows["measure"] == "asr") & (rows["kind"] == "reading")])["evaluator"])
    )


def write_rows(rows: pd.DataFrame, path: Path) -> Path:
    """Write rows as CSV with all digits, atomically."""
    buffer = io.StringIO()
    rows[COLUMNS].to_csv(buffer, index=False)
    atomic_write(path, buffer.getvalue().encode())
    return path


def find_table(folder: Path, name: str) -> Path:
    """``folder/name``, or ``folder/name.gz`` where only the compressed file exists."""
    compressed = folder / f"{name}.gz"
    return compressed if compressed.is_file() and not (folder / name).is_file() else folder / name


def read_rows(path: Path | str, *, first: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table that :func:`write_rows` wrote; empty text stays text. The file may be compressed (``.gz``).

    Args:
        first: text columns before those of rows, in tables that have them.

    Raises:
        InputError: the file does not exist, or does not hold rows.
    """
    path = Path(path)
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)  # a run may be called NA
    except FileNotFoundError:
        raise InputError(f"rows: {path} is not there; `intertwine measure` writes it") from None
    except (ValueError, UnicodeDecodeError, OSError, EOFError) as error:  # the last two: a broken .gz
        raise InputError(f"rows: {path} is not a table of rows: {error}") from None
    expected = [*first, *COLUMNS]
    if list(rows.columns) != expected:
        raise InputError(
            f"rows: {path}: expected the columns {', '.join(expected)}, received {', '.join(rows.columns)}"
        )
    try:
        # Python's parser is exact to the last digit; pandas' default is not in every version.
        for column in (*NUMBERS, *WHOLE_NUMBERS):
            rows[column] = [float(text or "nan") for text in rows[column]]
        for column in WHOLE_NUMBERS:
            rows[column] = rows[column].astype(int)
        for column in FLAGS:
            rows[column] = [_flag(text) for text in rows[column]]
    except (ValueError, TypeError) as error:
        raise InputError(f"rows: {path}: column {column}: {error}") from None
    for column, known in (("kind", KINDS), ("status", STATUSES)):
        if strange := set(rows[column]) - set(known):
            raise InputError(
                f"rows: {path}: column {column}: expected one of {', '.join(known)}, received {min(strange)!r}"
            )
    return rows


def _flag(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"expected True or False, received {text!r}")
    return text == "True"


def without_points(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without points of paths and curves, and without readings at another strength of the trigger."""
    return rows[~rows["kind"].isin(["path", "matched", "roc"])]


def final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch, by :func:`without_points`; of an encoder without epochs, all of them."""
    rows = without_points(rows)
    last = rows.groupby("run")["epoch"].transform("max")
    return rows[(rows["epoch"] == last) | last.isna()]


def select(rows: pd.DataFrame, **where: object) -> pd.DataFrame:
    """The rows in which each named column equals its value."""
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows
