"""The figures of a study that are about single images: with the trigger, and where they go."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...training.arms import ARMS
from ..results.table import final_rows
from .drawing import draw_gallery
from .labels import LABELS

__all__ = ["draw_images"]


def draw_images(rows: pd.DataFrame, target: int, gallery: Path, out: Path) -> list[Path]:
    """Draw ``confusion``, if there are rows of it, and ``triggers``, if the gallery is at hand.

    Args:
        rows: of the study.
        target: index of the target class. A study does not know names of classes, so they are numbers.
        gallery: ``triggers.npz`` of one of its runs.

    Returns:
        the files.
    """
    final = final_rows(rows)
    sent = final[(final["measure"] == "confusion") & final["arm"].map(lambda arm: ARMS[arm].is_poisoned).astype(bool)]
    drawn: dict[str, Figure] = {}
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        if gallery.is_file():
            drawn[f"triggers{suffix}"] = draw_gallery(gallery, width)
        if len(sent):
            classes = [str(c) for c in range(int(max(sent["x"].max(), target)) + 1)]
            drawn[f"confusion{suffix}"] = figures.confusion(
                sent, target=target, classes=classes, labels=LABELS, width=width
            )
    return [path for name, figure in drawn.items() for path in figures.save(figure, out / name)]
