"""The figures of the studies: ``python -m evidence.figures [FOLDER]``.

Draws the studies in ``FOLDER/STUDY`` (by default ``runs/figures``, which git ignores): each figure as PDF and PNG at
one and two columns. Then it copies the PNGs of two columns back, which is what commits hold. It takes some minutes.

Studies of learning were judged by the first rules, before this version. Their verdicts, reports and ``forest.png`` stay
as they were committed. Studies of defences are concluded again, with verdicts and report.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from intertwine import figures
from intertwine.analysis.reports.drawing import draw_study
from intertwine.analysis.reports.labels import LABELS
from intertwine.analysis.reports.readings_table import shown_rows
from intertwine.analysis.results.table import find_table, read_rows
from intertwine.analysis.studies.defence_conclusion import conclude_defences

from . import ROOT, STUDIES, TABLES
from .collect.primaries import READ, doses
from .collect.studies import DATA, DEFENDED, rows_of

DRAWN = ROOT / "runs" / "figures"
ARMS = ("supervised-dirty", "supervised-clean", "simclr-clean")
MEASURES = ("asr", "neighbour_mixing", "silhouette")
VOID = "> **These verdicts are void**: [why](../../../docs/evidence.md#why-the-first-verdicts-are-void).\n\n"
SHOWN_STUDY = "cifar10-sig"
SHOWN_REFERENCES = ["", "benign", "together", "random-trigger"]


def conclude_study(study: str, folder: Path) -> list[Path]:
    """Draw a study again in ``folder``, from its tables; of defences also the verdicts and the report."""
    if study not in DEFENDED:
        rows, history = (find_table(STUDIES / study, name) for name in ("rows.csv", "history.csv"))
        return draw_study(read_rows(rows), pd.read_csv(history), pd.DataFrame(), folder / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    for path in STUDIES.joinpath(study).iterdir():
        if path.suffix in (".gz", ".csv", ".json"):
            shutil.copy(path, folder)
    return conclude_defences(folder)


def take_back(study: str, folder: Path) -> None:
    """Copy report and PNGs of two columns from ``folder`` into the committed study."""
    for path in folder.glob("figures/*.png"):
        if not path.stem.endswith("-1col"):
            shutil.copy(path, STUDIES / study / "figures")
    for path in folder.glob("*.md"):
        page = re.sub(r" \[PDF\]\([^)]*\)", "", path.read_text())  # the PDFs stay in ``folder``
        (STUDIES / study / path.name).write_text(VOID + page)


def draw_headline(folder: Path = DRAWN) -> Iterator[Path]:
    """The README's figure, into ``folder``; its PNG into ``evidence`` too."""
    points = pd.read_csv(TABLES / "embedding.csv.gz", dtype={"class_name": str})
    rows = rows_of(SHOWN_STUDY)
    shown = shown_rows(rows[rows["reference"].isin(SHOWN_REFERENCES)])
    shown = shown[shown["place"] == shown.groupby("measure")["place"].transform("min")]
    figure = figures.headline(points, shown, arms=ARMS, measures=MEASURES, labels=LABELS)
    folder.mkdir(parents=True, exist_ok=True)
    _, picture = figures.save(figure, folder / "headline")
    yield Path(shutil.copy(picture, ROOT / "evidence"))


def draw_doses(folder: Path = DRAWN) -> Iterator[Path]:
    """The figure of the page of absolute readings, into ``folder``; its PNG into ``evidence`` too."""
    titles = ("ASR, native", *READ)
    figure = figures.dose_response(doses(), titles=titles, x_label="dose (cosine with the class feature)")
    folder.mkdir(parents=True, exist_ok=True)
    _, picture = figures.save(figure, folder / "dose_response")
    yield Path(shutil.copy(picture, ROOT / "evidence"))


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DRAWN
    for name in (*DATA, *DEFENDED):
        print(*conclude_study(name, out / name), sep="\n")
        take_back(name, out / name)
