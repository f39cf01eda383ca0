"""All figures of runs or of a study, from rows and side tables only."""

import zipfile
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...probes.gradients import WHOLE
from ...representations.errors import InputError
from ...training.arms import ARMS
from ..learning.forgetting import WAYS as FORGETTING
from ..panel.steps import OnStep
from ..results.measures import PRIMARY
from ..results.table import final_rows, without_points
from ..runs.pictures import Explained, Responses, distances, explain, responses
from ..runs.run import Run, about_run, load_run
from ..runs.side_tables import EMBEDDING, GALLERY, HISTORY, LAYER_CKA, SPECTRUM, gather
from .cells_table import primaries_of
from .labels import LABELS, WAYS
from .output import Draw, Output, write_figures
from .readings_table import shown_rows

__all__ = ["GEOMETRY", "draw_all", "draw_gallery", "draw_study", "draw_two_factors", "drawings_of", "seeds_in_words"]

GEOMETRY = ("supervised-dirty", "simclr-clean")
"""The two arms of the composed figure."""

READINGS = (
    *("smaller_side_mixing", "energy_coefficient", "mediation_excess", "interference"),
    *("collateral", "silhouette", "displacement_cosine", "content_retention"),
)
FEW = 2
"""Arms in one column, where each takes a panel."""


def draw_all(
    folders: Sequence[Path],
    rows: pd.DataFrame,
    out: Path,
    output: Output | None = None,
    *,
    only: Collection[str] | None = None,
    pair: tuple[str, str] = GEOMETRY,
    on_step: OnStep | None = None,
) -> list[Path]:
    """Draw every figure of measured runs into ``out``; by default as PDF and PNG, at two columns and (``-1col``) one.

    Args:
        only: names of figures; by default all that need tables alone. ``attribution``, ``units`` and ``encoders`` load
            the runs with their data.
        pair: the two arms of the composed figure.

    Returns:
        the files.
    """
    drawings = drawings_of(folders, rows, pair)
    only = list(drawings) if only is None else only
    seeds = seeds_in_words(rows)
    return write_figures(drawings | _of_encoders(folders), out, output, only=only, seeds=seeds, on_step=on_step)


def draw_study(
    rows: pd.DataFrame,
    history: pd.DataFrame,
    claims: pd.DataFrame,
    out: Path,
    output: Output | None = None,
    *,
    on_step: OnStep | None = None,
) -> list[Path]:
    """The figures of a study, from its tables alone: curves, readings at the end, alignment during training, verdicts,
    and the effects of interventions, if there are any."""
    drawings = _of_study(rows, history)
    if len(claims):
        stated = claims.assign(claim=claims["claim"] + ": " + claims["statement"])
        drawings["forest"] = lambda width, _: figures.forest(stated, labels=LABELS, width=width)
    return write_figures(drawings, out, output, seeds=seeds_in_words(rows), on_step=on_step)


def seeds_in_words(rows: pd.DataFrame) -> str:
    """What a caption says of seeds: their number, over arms.

    >>> seeds_in_words(pd.DataFrame({"arm": ["a", "a", "b"], "seed": [0, 1, 0]}))
    'Seeds: 1 to 2 an arm.'
    """
    counts = rows.groupby("arm")["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"Seeds: {high} an arm." if low == high else f"Seeds: {low} to {high} an arm."


def _of_study(rows: pd.DataFrame, history: pd.DataFrame) -> dict[str, Draw]:
    final, along = final_rows(rows), without_points(rows)
    shown = final[final["reference"].isin(["", "benign", "together", "apart"])]
    # The first studies have alignment without the target class instead.
    measure = "interference" if (along["measure"] == "interference").any() else "gradient_alignment"
    layers = [n for n in dict.fromkeys(along[along["measure"] == measure]["layer"]) if n != WHOLE]
    points = rows[rows["kind"] == "path"]
    line, forgotten = points[points["path"] == "interpolation"], points[points["path"].isin(FORGETTING)]
    failed = final[(final["measure"] == "forgetting_coupling") & (final["status"] == "too_few_hits")]["run"]
    forgotten = forgotten[~forgotten["run"].isin(failed)]  # no backdoor, nothing to forget
    exchanged = final[final["measure"].isin(["transplant_gain", "transplant_loss"]) & (final["status"] == "ok")]
    crossed = primaries_of(rows)
    drawings: dict[str, Draw] = {
        **_of_history(history),
        "two_factors": lambda width, narrow: draw_two_factors(crossed, width, narrow=narrow),
        "readings": lambda width, narrow: _readings(shown, width, narrow),
        "alignment_map": lambda width, narrow: figures.alignment_map(
            _poisoned(along), layers=layers, measure=measure, labels=LABELS, width=width, differences=not narrow
        ),
        "interpolation": lambda width, _: figures.interpolation(line, width=width),
        "forgetting": lambda width, narrow: figures.forgetting(
            forgotten[forgotten["path"].isin(list(FORGETTING)[: FEW if narrow else None])], labels=WAYS, width=width
        ),
        "transplants": lambda width, _: figures.transplants(
            exchanged, layers=list(dict.fromkeys(exchanged["layer"])), labels=LABELS, width=width
        ),
    }
    optional = {"interpolation": line, "forgetting": forgotten, "transplants": exchanged, "two_factors": crossed}
    return {name: draw for name, draw in drawings.items() if name not in optional or len(optional[name])}


def draw_two_factors(primaries: pd.DataFrame, width: float = figures.TWO_COLUMN, *, narrow: bool = False) -> Figure:
    """Readings of :func:`.cells_table.primaries_of`, by learner and poison; in one column the first three."""
    return figures.two_factors(primaries, measures=list(PRIMARY)[: 3 if narrow else None], labels=LABELS, width=width)


def drawings_of(folders: Sequence[Path], rows: pd.DataFrame, pair: tuple[str, str] = GEOMETRY) -> dict[str, Draw]:
    """The figures of measured runs, by name. pair: the two arms of the composed one."""
    layers = _layer_cka(folders, pair)
    has_geometry = len(layers) > 0 and all((folder / SPECTRUM).is_file() for folder in folders)
    return {
        "dynamics": lambda width, narrow: _of_history(gather(folders, HISTORY))["dynamics"](width, narrow),
        "losses": lambda width, narrow: _of_history(gather(folders, HISTORY))["losses"](width, narrow),
        "embeddings": lambda width, narrow: figures.embeddings(
            _few(gather(folders, EMBEDDING)) if narrow else gather(folders, EMBEDDING), width=width
        ),
        "readings": lambda width, narrow: _readings(rows, width, narrow),
        "alignment": lambda width, narrow: _alignment(rows, width, narrow),
        "confusion": lambda width, narrow: _confusion(folders, rows, width, narrow),
        "triggers": lambda width, _: draw_gallery(folders[0] / GALLERY, width),
        **({"geometry": lambda width, _: _geometry(folders, rows, width, layers, pair)} if has_geometry else {}),
    }


def _of_encoders(folders: Sequence[Path]) -> dict[str, Draw]:
    """Figures that need the encoders: of the first poisoned run, and a map of all."""
    load = cache(load_run)
    poisoned = next((f for f in folders if ARMS[about_run(f)["arm"]].is_poisoned), folders[0])

    @cache
    def attribution() -> Explained:
        return explain(load(poisoned))

    @cache
    def units() -> Responses:
        return responses(load(poisoned))

    @cache
    def apart() -> tuple[np.ndarray, list[Run]]:
        runs = [load(folder) for folder in folders]
        return distances(runs), runs

    def draw_attribution(width: float, narrow: bool) -> Figure:
        e = attribution()
        n = 2 if narrow else len(e.clean)
        maps = {title: values[:n] for title, values in e.maps.items()}
        return figures.attribution(e.clean[:n], e.triggered[:n], maps, names=e.names[:n], width=width)

    def draw_units(width: float, narrow: bool) -> Figure:
        r = units()
        most = 5 if narrow else 9
        shown: dict[str, Any] = {"units": r.units, "titles": r.titles, "most": most, "width": width}
        return figures.top_images(r.images, r.activations, r.triggered, **shown)

    def draw_encoders(width: float, narrow: bool) -> Figure:
        matrix, runs = apart()
        recipes = [run.experiment.recipe for run in runs]
        arms, seeds = [r.arm for r in recipes], [r.seed for r in recipes]
        return figures.encoder_map(matrix, arms=arms, seeds=seeds if len(set(seeds)) > 1 else None, width=width)

    return {"attribution": draw_attribution, "units": draw_units, "encoders": draw_encoders}


def _of_history(history: pd.DataFrame) -> dict[str, Draw]:
    return {
        "dynamics": lambda width, narrow: figures.dynamics(
            history, measures=("asr",) if narrow else ("acc", "asr"), width=width
        ),
        "losses": lambda width, narrow: figures.losses(_few(_poisoned(history)) if narrow else history, width=width),
    }


def _poisoned(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of poisoned arms and of arms that are not ours; all lines if there are no others."""
    poisoned = table["arm"].map(lambda arm: ARMS[arm].is_poisoned if arm in ARMS else True).astype(bool)
    return table[poisoned] if poisoned.any() else table


def _few(table: pd.DataFrame, most: int = FEW) -> pd.DataFrame:
    """Lines of so many arms: of the composed figure's first, then of the others."""
    arms = list(dict.fromkeys(table["arm"]))
    first = sorted(arms, key=lambda arm: GEOMETRY.index(arm) if arm in GEOMETRY else len(GEOMETRY))
    return table[table["arm"].isin(first[:most])]


def _layer_cka(folders: Sequence[Path], pair: tuple[str, str]) -> pd.DataFrame:
    """CKA of the layers of both arms; an earlier comparison may have left that of others."""
    with_table = [folder for folder in folders if (folder / LAYER_CKA).is_file()]
    if not with_table:
        return pd.DataFrame()
    found = gather(with_table, LAYER_CKA)
    arms = found[["run", "other_run"]].apply(lambda names: names.str.rpartition("/")[0])
    return found[(arms["run"] == pair[0]) & (arms["other_run"] == pair[1])]


def _geometry(
    folders: Sequence[Path], rows: pd.DataFrame, width: float, layers: pd.DataFrame, pair: tuple[str, str]
) -> Figure:
    own = rows[(rows["measure"] == "interference") & (rows["layer"] != WHOLE)]
    tables = gather(folders, EMBEDDING), gather(folders, SPECTRUM), layers
    return figures.geometry(*tables, own, arms=pair, labels=LABELS, width=width)


def _readings(rows: pd.DataFrame, width: float, narrow: bool) -> Figure:
    """Readings of the poisoned arms; benign arms are in them as ticks. In one column the four primaries."""
    shown = _poisoned(shown_rows(rows))
    # Of a measure that is shown for two subsets, the first: hits for mixing.
    first = shown.groupby("measure")["place"].transform("min")
    shown = shown[(shown["place"] == first) & shown["measure"].isin(READINGS)]
    measures = [m for m in READINGS if m in set(shown["measure"])][: 4 if narrow else None]
    return figures.readings(shown, measures=measures, labels=LABELS, width=width)


def _alignment(rows: pd.DataFrame, width: float, narrow: bool) -> Figure:
    own = rows[(rows["measure"] == "interference") & (rows["layer"] != WHOLE)]
    own = own[own["reference"].isin(["", "benign", "random-trigger"])]
    own = _few(_poisoned(own)) if narrow else own
    return figures.alignment(own, layers=list(dict.fromkeys(own["layer"])), labels=LABELS, width=width)


def _confusion(folders: Sequence[Path], rows: pd.DataFrame, width: float, narrow: bool) -> Figure:
    points = gather(folders, EMBEDDING)
    names = points.drop_duplicates("label").set_index("label")["class_name"]
    classes = [str(names.get(c, c)) for c in range(int(names.index.max()) + 1)]
    shown = _few(_poisoned(rows), 3) if narrow else _poisoned(rows)
    return figures.confusion(shown, target=int(points["target"].iloc[0]), classes=classes, labels=LABELS, width=width)


def draw_gallery(path: Path, width: float) -> Figure:
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
