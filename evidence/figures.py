"""The figures of the studies: ``python -m evidence.figures [FOLDER]``.

Draws the studies in ``FOLDER/STUDY`` (by default ``runs/figures``, which git ignores): each figure as PDF and PNG at
one and two columns. Then it copies the PNGs of two columns back, which is what commits hold. It takes some minutes.

Crossed studies and studies of defences are concluded again, with verdicts and report. The first studies were judged by
rules that are void: their verdicts, reports and ``forest.png`` stay as they were committed.
"""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from intertwine import figures
from intertwine.analysis.reports.cells_table import primaries_of
from intertwine.analysis.reports.drawing import draw_study, draw_two_factors
from intertwine.analysis.results.table import find_table, read_rows
from intertwine.analysis.studies.defence_conclusion import conclude_defences
from intertwine.analysis.studies.study import conclude
from matplotlib.figure import Figure

from . import ROOT, STUDIES, TABLES
from .collect import crossed
from .collect.crossed import CROSSED
from .collect.primaries import READ, doses
from .collect.studies import DATA, DEFENDED

DRAWN = ROOT / "runs" / "figures"
TWO_PANELS = 4.4  # inches: a line for each learner, dirty beside clean
VOID = "> **These verdicts are void**: [why](../../../docs/evidence.md#why-the-first-verdicts-are-void).\n\n"


def conclude_study(study: str, folder: Path) -> list[Path]:
    """Draw a study again in ``folder``, from its tables; but for the first studies also the verdicts and the report."""
    if study in DATA:
        rows, history = (find_table(STUDIES / study, name) for name in ("rows.csv", "history.csv"))
        return draw_study(read_rows(rows), pd.read_csv(history), pd.DataFrame(), folder / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    for path in STUDIES.joinpath(study).iterdir():
        if path.suffix in (".gz", ".csv", ".json"):
            shutil.copy(path, folder)
    return conclude_defences(folder) if study in DEFENDED else conclude(folder)[2]


def take_back(study: str, folder: Path) -> None:
    """Copy report and PNGs of two columns from ``folder`` into the committed study."""
    for path in folder.glob("figures/*.png"):
        if not path.stem.endswith("-1col"):
            shutil.copy(path, STUDIES / study / "figures")
    for path in folder.glob("*.md"):
        page = re.sub(r" \[PDF\]\([^)]*\)", "", path.read_text())  # the PDFs stay in ``folder``
        (STUDIES / study / path.name).write_text(VOID * (study in DEFENDED) + page)
    for path in folder.glob("claims*.csv"):
        shutil.copy(path, STUDIES / study)


def draw_crossed(folder: Path = DRAWN) -> Iterator[Path]:
    """The README's figures, into ``folder``; their PNGs into ``evidence`` too: learner × poison in every crossed study,
    and where images lie in one seed of each cell."""
    primaries = [primaries_of(crossed.rows_of(study)).assign(data=data) for study, data in CROSSED.items()]
    points = pd.read_csv(TABLES / "embedding.csv.gz", dtype={"class_name": str})
    with figures.style():
        drawn = {
            "two_factors": draw_two_factors(pd.concat(primaries, ignore_index=True)),
            "cells": figures.embeddings(points, width=TWO_PANELS),
        }
        yield from _kept(drawn, folder)


def draw_doses(folder: Path = DRAWN) -> Iterator[Path]:
    """The figure of the page of absolute readings, into ``folder``; its PNG into ``evidence`` too."""
    titles = ("ASR, native", *READ)
    with figures.style():
        drawn = figures.dose_response(doses(), titles=titles, x_label="dose (cosine with the class feature)")
        yield from _kept({"dose_response": drawn}, folder)


def _kept(drawn: Mapping[str, Figure], folder: Path) -> Iterator[Path]:
    """Save into ``folder``, and copy the PNGs to ``evidence``."""
    for name, figure in drawn.items():
        _, picture = figures.save(figure, folder / name)
        yield Path(shutil.copy(picture, ROOT / "evidence"))


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DRAWN
    for name in (*CROSSED, *DATA, *DEFENDED):
        print(*conclude_study(name, out / name), sep="\n")
        take_back(name, out / name)
