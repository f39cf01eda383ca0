"""All figures of a set of runs, from their rows and side tables only."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...probes.gradients import WHOLE
from ...representations.errors import InputError
from ..claims.learning_claims import MARGIN
from ..learning.forgetting import WAYS
from ..results.table import final_rows, without_points
from ..runs.side_tables import EMBEDDING, GALLERY, HISTORY, LAYER_CKA, SPECTRUM, gather
from .readings_table import shown_rows

__all__ = ["CAPTIONS", "GEOMETRY", "draw_all", "draw_study"]

GEOMETRY = ("supervised-dirty", "simclr-clean")
"""The two arms of the composed figure."""

READINGS = (
    *("neighbour_mixing", "silhouette", "trigger_separability", "source_accuracy"),
    *("residual_energy", "gradient_alignment", "displacement_cosine", "confusion_ratio"),
)

CAPTIONS = {
    "dynamics": "Training dynamics. ACC and ASR by weighted kNN on held-out images; mean loss of clean and of poisoned "
    "training images per epoch (losses of different objectives are not comparable). With several seeds the line is "
    "their mean and the band goes from the lowest to the highest.",
    "embeddings": "UMAP (cosine, seeded) of held-out images at the tap: clean classes, clean target, and triggered "
    "images of other classes. Distances in it carry no evidence.",
    "readings": "Readings at the tap (gradient alignment: all weights) with 95 % intervals within the run, beside "
    "their references. Neighbour mixing is read on hits, the triggered images that the evaluator sends to the target. "
    "References without a value are not drawn.",
    "alignment": "Split-half corrected cosine of the benign and the backdoor gradient by layer, jackknife 95 % "
    "intervals; beside it the same method's clean encoder, the end where both tasks are one (by permutation), and the "
    "mean of three random triggers with Student's interval over them, which is wide.",
    "alignment_map": "Split-half corrected cosine of the benign and the backdoor gradient by layer and snapshot, mean "
    "over seeds; beside each arm its difference to the same method's clean encoder at the same epoch, paired by "
    "seed. A cross: in no run are the gradients told from noise. Seeds whose backdoor fails count too.",
    "forest": "Effects of the claims with 95 % intervals, paired over seeds; band: the margin that counts as the same. "
    "On the right the verdict of both readings together, after Holm's adjustment.",
    "interpolation": "ACC and ASR (weighted kNN) on the straight line from the weights of the clean encoder to the "
    "poisoned one's, BatchNorm statistics taken anew at each point; line: mean over seeds, band: lowest to "
    "highest. Dotted: the line to the same poisoned function with its channels permuted. Seeds whose backdoor fails "
    "count too.",
    "forgetting": "ACC lost against ASR lost while an encoder is made to forget: each marker is a stop (1, 2, 4 … "
    "steps), mean over the seeds whose backdoor works; thin lines: single seeds. Dashed: what the clean encoder loses "
    "under the same treatment. Along the bottom the backdoor goes alone; on the diagonal the benign task goes with it.",
    "sweep": "Readings at the end of training against what the grid varies: mean over seeds whose reading is ok, bars "
    "from the lowest to the highest, dashed the benign twins of the same runs; values at equal distances. ASR by "
    "weighted kNN; neighbour mixing of hits and source accuracy of triggered images at the output; gradient alignment "
    "over all weights.",
    "transplants": "Share of the attack (ASR over the clean encoder's) that the clean encoder gains with the weights "
    "of one layer of the poisoned one, and that the poisoned one loses with the clean layer; BatchNorm statistics "
    "taken anew. Mean over seeds and range; hollow: the layer moved as far in a random direction.",
    "geometry": "Two ways of learning. a: UMAP of held-out images at the tap. b: share of the variance of clean images "
    "by principal component; thin lines single runs. c: debiased linear CKA of every layer of one encoder with every "
    "layer of the other, clean held-out images. d: split-half corrected cosine of the benign and the backdoor gradient "
    "by layer, dashed that of the same method's clean encoder.",
    "triggers": "Held-out images: clean, triggered, and their difference amplified.",
}


def draw_all(folders: Sequence[Path], rows: pd.DataFrame, out: Path) -> list[Path]:
    """Draw every figure into ``out`` as PDF and PNG, at two-column and (``-1col``) one-column width, and return the
    files."""
    drawn: dict[str, Figure] = {}
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        for name, draw in _drawings(folders, rows, width).items():
            try:
                drawn[f"{name}{suffix}"] = draw()
            except ValueError as error:  # the figures' own checks of the tables that they are given
                raise InputError(f"figures: {name}: {error}") from None
    written: list[Path] = []  # nothing is written before everything could be drawn
    for name, figure in drawn.items():
        written += figures.save(figure, out / name)
    return written


def draw_study(rows: pd.DataFrame, history: pd.DataFrame, claims: pd.DataFrame, out: Path) -> list[Path]:
    """The figures of a study, from its tables alone: learning curves, readings at the end, alignment along training,
    verdicts, and what interventions did, where they were made."""
    drawn: dict[str, Figure] = {}
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        try:
            for name, draw in _of_study(rows, history, width).items():
                drawn[f"{name}{suffix}"] = draw()
            if len(claims) and not suffix:
                drawn["forest"] = figures.forest(claims, margin=MARGIN, width=width)
        except ValueError as error:
            raise InputError(f"figures: {error}") from None
    return [path for name, figure in drawn.items() for path in figures.save(figure, out / name)]


def _of_study(rows: pd.DataFrame, history: pd.DataFrame, width: float) -> dict[str, Callable[[], Figure]]:
    final, along = final_rows(rows), without_points(rows)
    shown = final[final["reference"].isin(["", "benign", "together"])]
    layers = [n for n in dict.fromkeys(along[along["measure"] == "gradient_alignment"]["layer"]) if n != WHOLE]
    points = rows[rows["kind"] == "path"]
    line, forgotten = points[points["path"] == "interpolation"], points[points["path"].isin(WAYS)]
    failed = final[(final["measure"] == "forgetting_coupling") & (final["status"] == "not_evaluable")]["run"]
    forgotten = forgotten[~forgotten["run"].isin(failed)]  # no backdoor, nothing to forget
    carried = final[final["measure"].isin(["transplant_gain", "transplant_loss"]) & (final["status"] == "ok")]
    drawings = {
        "dynamics": lambda: figures.dynamics(history, width=width),
        "readings": lambda: _readings(shown, width),
        "alignment_map": lambda: figures.alignment_map(along, layers=layers, width=width),
        "interpolation": lambda: figures.interpolation(line, width=width),
        "forgetting": lambda: figures.forgetting(forgotten, width=width),
        "transplants": lambda: figures.transplants(carried, layers=list(dict.fromkeys(carried["layer"])), width=width),
    }
    there = {"interpolation": line, "forgetting": forgotten, "transplants": carried}
    return {name: draw for name, draw in drawings.items() if name not in there or len(there[name])}


def _drawings(folders: Sequence[Path], rows: pd.DataFrame, width: float) -> dict[str, Callable[[], Figure]]:
    return {
        "dynamics": lambda: figures.dynamics(gather(folders, HISTORY), width=width),
        "embeddings": lambda: figures.embeddings(gather(folders, EMBEDDING), width=width),
        "readings": lambda: _readings(rows, width),
        "alignment": lambda: _alignment(rows, width),
        "triggers": lambda: _gallery(folders[0] / GALLERY, width),
        **({"geometry": lambda: _geometry(folders, rows, width)} if _has_geometry(folders) else {}),
    }


def _has_geometry(folders: Sequence[Path]) -> bool:
    return any((folder / LAYER_CKA).is_file() for folder in folders) and all(
        (folder / SPECTRUM).is_file() for folder in folders
    )


def _geometry(folders: Sequence[Path], rows: pd.DataFrame, width: float) -> Figure:
    own = rows[(rows["measure"] == "gradient_alignment") & (rows["layer"] != WHOLE)]
    pairs = [folder for folder in folders if (folder / LAYER_CKA).is_file()]
    tables = gather(folders, EMBEDDING), gather(folders, SPECTRUM), gather(pairs, LAYER_CKA)
    return figures.geometry(*tables, own, arms=GEOMETRY, width=width)


def _readings(rows: pd.DataFrame, width: float) -> Figure:
    shown = shown_rows(rows)
    # Of what is shown at two subsets, the first: hits for mixing.
    first = shown.groupby("measure")["place"].transform("min")
    shown = shown[(shown["place"] == first) & shown["measure"].isin(READINGS)]
    # One column holds half of them: eight panels below each other are longer than a page.
    wanted = READINGS if width > figures.ONE_COLUMN else ("neighbour_mixing", "silhouette", *READINGS[4:6])
    measures = [m for m in wanted if m in set(shown["measure"])]
    return figures.readings(shown, measures=measures, width=width)


def _alignment(rows: pd.DataFrame, width: float) -> Figure:
    own = rows[(rows["measure"] == "gradient_alignment") & (rows["layer"] != WHOLE)]
    own = own[own["reference"].isin(["", "benign", "together", "random-trigger"])]
    return figures.alignment(own, layers=list(dict.fromkeys(own["layer"])), width=width)


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
