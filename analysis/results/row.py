"""The row builder: a reading, its run and where it was computed become one row."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from .reading import Reading
from .schema import COLUMNS, NUMBERS, TEXTS

__all__ = ["RunLabel", "build_row", "build_rows", "table_of"]

EMPTY: dict[str, object] = {
    **dict.fromkeys(TEXTS, ""),
    **dict.fromkeys(NUMBERS, None),
    **{"kind": "reading", "decides": False},
}


@dataclass(frozen=True)
class RunLabel:
    """The columns of a row that name its run. recipe: its name. plan: first digits of the hash of its poison plan."""

    run: str = ""
    arm: str = ""
    seed: int = 0
    epoch: float | None = None
    recipe: str = ""
    plan: str = ""


def build_row(label: RunLabel, reading: Reading, **columns: object) -> dict[str, object]:
    """One row. columns: any others of :data:`.schema.COLUMNS`, by name."""
    return {
        **EMPTY,
        **asdict(label),
        **{"value": reading.value, "ci_low": reading.interval[0], "ci_high": reading.interval[1]},
        **{"n": reading.n, "d": reading.d or None, "status": reading.status, "note": reading.note},
        **columns,
    }


def build_rows(label: RunLabel, readings: Mapping[str, Reading], **columns: object) -> pd.DataFrame:
    """A table with one row for each layer of ``readings`` (layer → reading); all rows share ``columns``."""
    return table_of(build_row(label, reading, layer=layer, **columns) for layer, reading in readings.items())


def table_of(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """A table of rows that :func:`build_row` made.

    Raises:
        ValueError: a row has a column that the schema does not have.
    """
    rows = list(rows)
    if unknown := {key for row in rows for key in row} - set(COLUMNS):
        raise ValueError(f"rows: expected columns of the schema, received {', '.join(sorted(unknown))}")
    # Without a number in it, a column would hold None.
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))
