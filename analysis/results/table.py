"""Rows: the one result format, a tidy table that claims, figures and reports read.

run, arm, seed, epoch, layer, subset, measure, reference, value, ci_low, ci_high, n, d, run_b, layer_b, x, params,
status
"""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError

__all__ = [
    "COLUMNS",
    "DEFAULT_EVALUATOR",
    "EVALUABLE",
    "REFERENCES",
    "SPOKEN",
    "STATUSES",
    "by_deciding_evaluator",
    "deciding_evaluators",
    "final_rows",
    "find_table",
    "format_params",
    "parse_params",
    "read_rows",
    "select",
    "write_rows",
]

COLUMNS = [
    *("run", "arm", "seed", "epoch", "layer", "subset", "measure", "reference", "value", "ci_low", "ci_high", "n", "d"),
    *("run_b", "layer_b", "x", "params", "status"),
]
TEXT = ["run", "arm", "layer", "subset", "measure", "reference", "run_b", "layer_b", "params", "status"]
STATUSES = ("ok", "not_evaluable", "not_estimable", "undefined")
REFERENCES = (
    *("benign", "together", "random-trigger", "random-init", "raw-pixels"),
    *("within-noise", "permuted", "random-direction", "class-direction", "cross-seed", "random"),
)
"""``within-noise`` (displacements drawn from N(0, Σ_within)) belongs to residual energy, ``permuted`` to CKA (its
pairing) and to the logistic probes (their labels), ``random-direction`` and ``class-direction`` (what is erased instead
of the trigger) to the erasure cost, ``cross-seed`` (ACC of one seed with ASR of another) to the coupling of curves,
``random`` (orders) to detectors."""

DEFAULT_EVALUATOR = "knn"
"""The evaluator that decides hits and what is evaluable, unless a run's rows of ASR name another (``judge=yes``)."""


EVALUABLE = 0.3
"""ASR must clear its benign twin by this much, or a reading says nothing about how the backdoor was learned."""

SPOKEN = {"knn": "kNN", "ridge": "the ridge probe"}
"""Evaluators in prose."""


def format_params(**params: object) -> str:
    """``k=v;…`` without the two separators in the values; floats with four digits."""
    text = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in params.items() if v is not None}
    return ";".join(f"{k}={v.replace(';', ',').replace('=', ':')}" for k, v in text.items())


def parse_params(params: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in params.split(";") if part)


def by_deciding_evaluator(rates: pd.DataFrame) -> pd.DataFrame:
    """Of rows of rates those by the evaluator that decides in their run."""
    told = rates["params"].map(parse_params)
    named = told.map(lambda params: params.get("judge") == "yes").astype(bool)
    default = told.map(lambda params: params.get("evaluator") == DEFAULT_EVALUATOR).astype(bool)
    return rates[named | (default & ~named.groupby(rates["run"]).transform("any"))]


def deciding_evaluators(rows: pd.DataFrame) -> list[str]:
    """The evaluators that decide in the runs of these rows, sorted."""
    return sorted(
        {parse_params(p)["evaluator"] for p in by_deciding_evaluator(rows[rows["measure"] == "asr"])["params"]}
    )


def write_rows(rows: pd.DataFrame, path: Path) -> Path:
    """As CSV, every digit kept, all or nothing."""
    buffer = io.StringIO()
    rows[COLUMNS].to_csv(buffer, index=False)
    atomic_write(path, buffer.getvalue().encode())
    return path


def find_table(folder: Path, name: str) -> Path:
    """``folder/name``, or the same compressed, ``folder/name.gz``, where only that is there."""
    compressed = folder / f"{name}.gz"
    return compressed if compressed.is_file() and not (folder / name).is_file() else folder / name


def read_rows(path: Path | str, *, first: Sequence[str] = ()) -> pd.DataFrame:
    """What :func:`write_rows` wrote; empty text stays text. The file may be compressed (``.gz``).

    Args:
        first: columns of text before those of rows, for tables that have them.

    Raises:
        InputError: no such file, or one that does not hold rows.
    """
    path = Path(path)
    try:
        rows = pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise InputError(f"rows: {path} is not there; `intertwine measure` writes it") from None
    except (ValueError, UnicodeDecodeError, OSError, EOFError) as error:  # the last two: what claims to be compressed
        raise InputError(f"rows: {path} is not a table of rows: {error}") from None
    expected = [*first, *COLUMNS]
    if list(rows.columns) != expected:
        raise InputError(
            f"rows: {path}: expected the columns {', '.join(expected)}, received {', '.join(rows.columns)}"
        )
    rows[TEXT] = rows[TEXT].fillna("")
    try:
        # Python's own parser is exact to the last digit, which pandas' default is not in every version.
        for column in COLUMNS:
            if column not in TEXT:
                rows[column] = [float(text) for text in rows[column]]
        rows[["seed", "n"]] = rows[["seed", "n"]].astype(int)
    except (ValueError, TypeError) as error:
        raise InputError(f"rows: {path}: column {column}: {error}") from None
    return rows


def final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch, without the points of paths, which have an ``x``."""
    rows = rows[rows["x"].isna()]
    return rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]


def select(rows: pd.DataFrame, **where: object) -> pd.DataFrame:
    """The rows in which every named column has the given value."""
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows
