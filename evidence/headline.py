"""The README's figure, from committed tables: `python docs/evidence/headline.py`.

Where points lie comes from ``embedding.csv.gz``, which `python docs/evidence/headline.py imagefolder:PATH` computes
from the encoders of the zoo and the images that they were trained on; readings come from the study of CIFAR-10 under
SIG, in which the ridge probe decides.
"""

import sys
from pathlib import Path

import pandas as pd
from intertwine import figures
from intertwine.analysis.reports.readings_table import shown_rows
from intertwine.analysis.results.table import final_rows, find_table, read_rows
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.side_tables import embed_run
from intertwine.checkpoints.shipped import resolve

HERE = Path(__file__).parent
STUDY = HERE.parent / "studies" / "cifar10-sig"
POINTS = HERE / "embedding.csv.gz"
ENCODERS = ("cifar10-supervised-sig-dirty", "cifar10-supervised-sig-clean", "cifar10-simclr-sig-clean")
ARMS = ("supervised-dirty", "supervised-clean", "simclr-clean")
MEASURES = ("asr", "neighbour_mixing", "gradient_alignment")
SHOWN = 1000  # images: more hide each other


def main() -> None:
    if len(sys.argv) > 1:
        runs = (load_run(resolve(f"zoo:{name}"), data=sys.argv[1], device="cpu") for name in ENCODERS)
        points = pd.concat([embed_run(run, most=SHOWN, evaluator="ridge") for run in runs])
        points = points.loc[:, ~points.columns.str.match("[xy]_")]  # principal components are not drawn
        points.round({"x": 4, "y": 4}).to_csv(POINTS, index=False, compression={"method": "gzip", "mtime": 0})
    points = pd.read_csv(POINTS, dtype={"class_name": str})
    rows = final_rows(read_rows(find_table(STUDY, "rows.csv")))
    shown = shown_rows(rows[rows["reference"].isin(["", "benign", "together", "random-trigger"])])
    shown = shown[shown["place"] == shown.groupby("measure")["place"].transform("min")]
    for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
        figure = figures.headline(points, shown, arms=ARMS, measures=MEASURES, width=width)
        print(*figures.save(figure, HERE / f"headline{suffix}"))


if __name__ == "__main__":
    main()
