"""Where the points of the README's figure lie: ``python -m evidence.scripts.embedding imagefolder:data/cifar10``.

Writes ``embedding.csv.gz`` from encoders of the zoo and the images that they were trained on. ``python -m evidence``
draws the figure from it.
"""

import sys

import pandas as pd
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.side_tables import embed_run
from intertwine.checkpoints.shipped import resolve

from .. import TABLES

ENCODERS = ("cifar10-supervised-sig-dirty", "cifar10-supervised-sig-clean", "cifar10-simclr-sig-clean")
IMAGES = 1000
"""More points hide each other."""


def main() -> None:
    runs = (load_run(resolve(f"zoo:{name}"), data=sys.argv[1], device="cpu") for name in ENCODERS)
    points = pd.concat([embed_run(run, most=IMAGES, evaluator="ridge") for run in runs])
    points = points.loc[:, ~points.columns.str.match("[xy]_")]  # principal components are not drawn
    compression = {"method": "gzip", "mtime": 0}  # the same bytes each time
    points.round({"x": 4, "y": 4}).to_csv(TABLES / "embedding.csv.gz", index=False, compression=compression)


if __name__ == "__main__":
    main()
