"""Checks of the data frames that figures read, and the selections that several figures share."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from .style import ARM_STYLES

__all__ = [
    "ROW_NUMBERS",
    "ROW_TEXTS",
    "arms_in_order",
    "checked",
    "checked_rows",
    "one_reading_each",
    "over_runs",
    "split",
    "status_note",
    "without_references_of_others",
]

# The part of the one result format that the figures use.
ROW_TEXTS = ("run", "arm", "layer", "subset", "measure", "reference", "status")
ROW_NUMBERS = ("seed", "value", "ci_low", "ci_high")


def checked(frame: pd.DataFrame, argument: str, *, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """A copy of the columns asked for, with texts as strings ("" where missing) and numbers as floats."""
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{argument}: expected a pandas DataFrame, received {type(frame).__name__}")
    wanted = [*texts, *numbers]
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise ValueError(
            f"{argument}: expected the columns {', '.join(wanted)}; missing {', '.join(missing)}; "
            f"received {', '.join(map(str, frame.columns)) or 'no columns'}"
        )
    if frame.empty:
        raise ValueError(f"{argument}: expected at least one row, received an empty frame")
    copy = frame[wanted].reset_index(drop=True)
    for column in texts:
        copy[column] = copy[column].astype(object).where(copy[column].notna(), "").map(str)
    for column in numbers:
        try:
            copy[column] = pd.to_numeric(copy[column]).to_numpy(dtype=float, na_value=np.nan)
        except (ValueError, TypeError):
            strange = next((value for value in copy[column] if not isinstance(value, (int, float))), None)
            raise ValueError(f"{argument}: expected numbers in column {column}, received {strange!r}") from None
    if "arm" in texts and (copy["arm"] == "").any():
        raise ValueError(f"{argument}: expected an arm in every row, received {(copy['arm'] == '').sum()} without")
    return copy


def checked_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of results, checked. A row that is "ok" but has no finite value gets the status "no value"."""
    tidy = checked(rows, "rows", texts=ROW_TEXTS, numbers=ROW_NUMBERS)
    tidy.loc[(tidy["status"] == "ok") & ~np.isfinite(tidy["value"]), "status"] = "no value"
    return tidy


def one_reading_each(rows: pd.DataFrame, *, keys: Sequence[str]) -> pd.DataFrame:
    """The rows, if readings are unique by ``keys``: otherwise the caller did not choose a layer, subset or epoch.

    References may repeat (several random triggers): figures draw their mean.
    """
    own = rows[rows["reference"] == ""]
    twice = own[own.duplicated(list(keys))]
    if len(twice):
        where = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(
            f"rows: expected one reading for each {' and '.join(keys)} (choose one epoch, layer, subset and "
            f"evaluator before drawing), received several for {where}"
        )
    return rows


def without_references_of_others(rows: pd.DataFrame, place: str) -> pd.DataFrame:
    """The rows without references of readings that are not in an arm's mean, so that both are means of the same runs.

    A reading is not in the mean if it is not ok while another run's at the same ``place`` (measure or layer) is.
    """
    _, ok = split(rows[rows["reference"] == ""])
    counted = _keys(rows, "run", place).isin(_keys(ok, "run", place))
    some = _keys(rows, "arm", place).isin(_keys(ok, "arm", place))
    return rows[(rows["reference"] == "") | counted | ~some]


def _keys(rows: pd.DataFrame, *columns: str) -> pd.Index:
    return pd.MultiIndex.from_frame(rows[list(columns)])


def over_runs(frame: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    """Mean, minimum and maximum of a column over runs, at each value of ``by``."""
    return frame.groupby(by)[column].agg(["mean", "min", "max"])


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that have a value, and those among them that are ok."""
    finite = rows[np.isfinite(rows["value"])]
    return finite, finite[finite["status"] == "ok"]


def arms_in_order(arms: Iterable[str]) -> list[str]:
    """Each arm once: known ones in the order of the style table, then the others as they come."""
    present = list(dict.fromkeys(arms))
    return [arm for arm in ARM_STYLES if arm in present] + [arm for arm in present if arm not in ARM_STYLES]


def status_note(statuses: "pd.Series[str]") -> str:
    """The statuses that are not ok, in words; "" if all are ok.

    >>> status_note(pd.Series(["ok", "too_few_hits", "ok"]))
    'too few hits (1 of 3)'
    """
    if statuses.empty:
        return "no reading"
    words = statuses.str.replace("_", " ").replace("", "no status")
    counts = words[words != "ok"].value_counts(sort=False)
    if words.nunique() == 1:  # all the same: no need to count
        return ", ".join(counts.index)
    return ", ".join(f"{word} ({count} of {len(words)})" for word, count in counts.items())
