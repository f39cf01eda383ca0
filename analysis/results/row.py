"""The one builder of rows: a reading, the run that it belongs to, and where it was computed."""

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
    """What rows report of the run that they belong to. ``recipe``: its name. ``plan``: the first digits of the hash of
    its poison plan."""

    run: str = ""
    arm: str = ""
    seed: int = 0
    epoch: float | None = None
    recipe: str = ""
    plan: str = ""


def build_row(label: RunLabel, reading: Reading, **columns: object) -> dict[str, object]:
    """One row. ``columns``: any others of :data:`.schema.COLUMNS`, by name."""
    return {
        **EMPTY,
        **asdict(label),
        **{"value": reading.value, "ci_low": reading.interval[0], "ci_high": reading.interval[1]},
        **{"n": reading.n, "d": reading.d or None, "status": reading.status, "note": reading.note},
        **columns,
    }


def build_rows(label: RunLabel, readings: Mapping[str, Reading], **columns: object) -> pd.DataFrame:
    """A row for each layer of ``readings`` (layer → reading); ``columns`` are the same in all of them."""
    return table_of(build_row(label, reading, layer=layer, **columns) for layer, reading in readings.items())


def table_of(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of :func:`build_row` as a table.

    Raises:
        ValueError: a row with a column that the schema does not have.
    """
    rows = list(rows)
    if unknown := {key for row in rows for key in row} - set(COLUMNS):
        raise ValueError(f"rows: expected columns of the schema, received {', '.join(sorted(unknown))}")
    return pd.DataFrame(rows, columns=COLUMNS)
