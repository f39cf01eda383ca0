"""The figures of the studies: ``python -m evidence.figures [FOLDER]``.

Copies the tables of each study to ``FOLDER/STUDY`` (by default ``runs/figures``, which git ignores) and concludes it
there: verdicts, report, and each figure as PDF and PNG at one and two columns. Then it copies the report and the PNGs
of two columns back, which is what commits hold. It takes some minutes.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from intertwine import figures
from intertwine.analysis.reports.labels import LABELS
from intertwine.analysis.reports.readings_table import shown_rows
from intertwine.analysis.studies.defence_conclusion import conclude_defences
from intertwine.analysis.studies.study import conclude

from . import ROOT, STUDIES, TABLES
from .collect.studies import DATA, DEFENDED, rows_of

DRAWN = ROOT / "runs" / "figures"
ARMS = ("supervised-dirty", "supervised-clean", "simclr-clean")
MEASURES = ("asr", "neighbour_mixing", "gradient_alignment")
VOID = "> **These verdicts are void**: [why](../../../docs/evidence.md#why-the-first-verdicts-are-void).\n\n"
SHOWN_STUDY = "cifar10-sig"
SHOWN_REFERENCES = ["", "benign", "together", "random-trigger"]


def conclude_study(study: str, folder: Path) -> list[Path]:
    """Draw and report a study again in ``folder``, from a copy of its tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in STUDIES.joinpath(study).iterdir():
        if path.suffix in (".gz", ".csv", ".json"):
            shutil.copy(path, folder)
    return conclude_defences(folder) if study in DEFENDED else conclude(folder)[-1]


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


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DRAWN
    for name in (*DATA, *DEFENDED):
        print(*conclude_study(name, out / name), sep="\n")
        take_back(name, out / name)
