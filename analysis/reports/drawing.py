"""All figures of runs or of a study, from rows and side tables only."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...probes.gradients import WHOLE
from ...representations.errors import InputError
from ...training.arms import ARMS
from ..learning.forgetting import WAYS
from ..results.measures import PRIMARY
from ..results.table import final_rows, without_points
from ..runs.side_tables import EMBEDDING, GALLERY, HISTORY, LAYER_CKA, SPECTRUM, gather
from .cells_table import primaries_of
from .labels import LABELS
from .readings_table import shown_rows

__all__ = ["GEOMETRY", "draw_all", "draw_study", "draw_two_factors"]

GEOMETRY = ("supervised-dirty", "simclr-clean")
"""The two arms of the composed figure."""

READINGS = (
    *("smaller_side_mixing", "energy_coefficient", "mediation_excess", "interference"),
    *("collateral", "silhouette", "displacement_cosine", "content_retention"),
)


def draw_all(folders: Sequence[Path], rows: pd.DataFrame, out: Path, *, pair: tuple[str, str] = GEOMETRY) -> list[Path]:
    """Draw every figure into ``out`` as PDF and PNG, at two-column and (``-1col``) one-column width.

    Args:
        pair: the two arms of the composed figure.

    Returns:
        the files.
    """
    drawn: dict[str, Figure] = {}
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        for name, draw in _drawings(folders, rows, width, pair).items():
            try:
                drawn[f"{name}{suffix}"] = draw()
            except ValueError as error:  # the figures' own checks of the tables that they are given
                raise InputError(f"figures: {name}: {error}") from None
    written: list[Path] = []  # nothing is written before everything could be drawn
    for name, figure in drawn.items():
        written += figures.save(figure, out / name)
    return written


def draw_study(rows: pd.DataFrame, history: pd.DataFrame, claims: pd.DataFrame, out: Path) -> list[Path]:
    """The figures of a study, from its tables alone: curves, readings at the end, alignment during training, verdicts,
    and the effects of interventions, if there are any."""
    drawn: dict[str, Figure] = {}
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        try:
            for name, draw in _of_study(rows, history, width).items():
                drawn[f"{name}{suffix}"] = draw()
            if len(claims) and not suffix:
                drawn["forest"] = figures.forest(claims, labels=LABELS, width=width)
        except ValueError as error:
            raise InputError(f"figures: {error}") from None
    return [path for name, figure in drawn.items() for path in figures.save(figure, out / name)]


def _of_study(rows: pd.DataFrame, history: pd.DataFrame, width: float) -> dict[str, Callable[[], Figure]]:
    final, along = final_rows(rows), without_points(rows)
    shown = final[final["reference"].isin(["", "benign", "together"])]
    layers = [n for n in dict.fromkeys(along[along["measure"] == "interference"]["layer"]) if n != WHOLE]
    points = rows[rows["kind"] == "path"]
    line, forgotten = points[points["path"] == "interpolation"], points[points["path"].isin(WAYS)]
    failed = final[(final["measure"] == "forgetting_coupling") & (final["status"] == "too_few_hits")]["run"]
    forgotten = forgotten[~forgotten["run"].isin(failed)]  # no backdoor, nothing to forget
    exchanged = final[final["measure"].isin(["transplant_gain", "transplant_loss"]) & (final["status"] == "ok")]
    crossed = primaries_of(rows)
    drawings = {
        "dynamics": lambda: figures.dynamics(history, width=width),
        "two_factors": lambda: draw_two_factors(crossed, width),
        "readings": lambda: _readings(shown, width),
        "alignment_map": lambda: figures.alignment_map(along, layers=layers, labels=LABELS, width=width),
        "interpolation": lambda: figures.interpolation(line, width=width),
        "forgetting": lambda: figures.forgetting(forgotten, width=width),
        "transplants": lambda: figures.transplants(
            exchanged, layers=list(dict.fromkeys(exchanged["layer"])), labels=LABELS, width=width
        ),
    }
    optional = {"interpolation": line, "forgetting": forgotten, "transplants": exchanged}
    optional |= {"two_factors": crossed}
    return {name: draw for name, draw in drawings.items() if name not in optional or len(optional[name])}


def draw_two_factors(primaries: pd.DataFrame, width: float = figures.TWO_COLUMN) -> Figure:
    """Readings of :func:`.cells_table.primaries_of`, by learner and poison."""
    return figures.two_factors(primaries, measures=list(PRIMARY), labels=LABELS, width=width)


def _drawings(
    folders: Sequence[Path], rows: pd.DataFrame, width: float, pair: tuple[str, str] = GEOMETRY
) -> dict[str, Callable[[], Figure]]:
    return {
        "dynamics": lambda: figures.dynamics(gather(folders, HISTORY), width=width),
        "embeddings": lambda: figures.embeddings(gather(folders, EMBEDDING), width=width),
        "readings": lambda: _readings(rows, width),
        "alignment": lambda: _alignment(rows, width),
        "confusion": lambda: _confusion(folders, rows, width),
        "triggers": lambda: _gallery(folders[0] / GALLERY, width),
        **({"geometry": lambda: _geometry(folders, rows, width, pair)} if _has_geometry(folders, pair) else {}),
    }


def _layer_cka(folders: Sequence[Path], pair: tuple[str, str]) -> pd.DataFrame:
    """CKA of the layers of both arms; an earlier comparison may have left that of others."""
    with_table = [folder for folder in folders if (folder / LAYER_CKA).is_file()]
    if not with_table:
        return pd.DataFrame()
    found = gather(with_table, LAYER_CKA)
    arms = found[["run", "other_run"]].apply(lambda names: names.str.rpartition("/")[0])
    return found[(arms["run"] == pair[0]) & (arms["other_run"] == pair[1])]


def _has_geometry(folders: Sequence[Path], pair: tuple[str, str]) -> bool:
    return len(_layer_cka(folders, pair)) > 0 and all((folder / SPECTRUM).is_file() for folder in folders)


def _geometry(folders: Sequence[Path], rows: pd.DataFrame, width: float, pair: tuple[str, str]) -> Figure:
    own = rows[(rows["measure"] == "interference") & (rows["layer"] != WHOLE)]
    tables = gather(folders, EMBEDDING), gather(folders, SPECTRUM), _layer_cka(folders, pair)
    return figures.geometry(*tables, own, arms=pair, labels=LABELS, width=width)


def _readings(rows: pd.DataFrame, width: float) -> Figure:
    shown = shown_rows(rows)
    # Of a measure that is shown for two subsets, the first: hits for mixing.
    first = shown.groupby("measure")["place"].transform("min")
    shown = shown[(shown["place"] == first) & shown["measure"].isin(READINGS)]
    # One column holds half of them: eight panels below each other are longer than a page.
    wanted = READINGS if width > figures.ONE_COLUMN else READINGS[:4]
    measures = [m for m in wanted if m in set(shown["measure"])]
    return figures.readings(shown, measures=measures, labels=LABELS, width=width)


def _alignment(rows: pd.DataFrame, width: float) -> Figure:
    own = rows[(rows["measure"] == "interference") & (rows["layer"] != WHOLE)]
    own = own[own["reference"].isin(["", "benign", "together", "random-trigger"])]
    return figures.alignment(own, layers=list(dict.fromkeys(own["layer"])), labels=LABELS, width=width)


def _confusion(folders: Sequence[Path], rows: pd.DataFrame, width: float) -> Figure:
    points = gather(folders, EMBEDDING)
    names = points.drop_duplicates("label").set_index("label")["class_name"]
    classes = [str(names.get(c, c)) for c in range(int(names.index.max()) + 1)]
    of_poisoned = rows[rows["arm"].map(lambda arm: ARMS[arm].is_poisoned if arm in ARMS else True).astype(bool)]
    shown = rows if of_poisoned.empty else of_poisoned
    return figures.confusion(shown, target=int(points["target"].iloc[0]), classes=classes, labels=LABELS, width=width)


def _gallery(path: Path, width: float) -> Figure:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            clean, triggered = arrays["clean"], arrays["triggered"]
            largest = int(np.abs(clean.astype(int) - triggered.astype(int)).max())
            gain = max(1.0, round(127 / max(1, largest), 1))  # the largest difference just reaches black or white
            return figures.gallery(clean, triggered, names=arrays["names"].tolist(), gain=gain, width=width)
    except FileNotFoundError:
        raise InputError(f"run: {path.parent} has no {path.name}; `intertwine compare` writes it") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"run: {path} is corrupted: {error}") from None
