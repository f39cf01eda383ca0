"""Where the points of the README's figure lie: ``python -m evidence.scripts.embedding``.

Writes ``embedding.csv.gz`` from encoders of the zoo, one seed of each cell of the crossed study on digits. ``python -m
evidence`` draws the figure from it.
"""

import pandas as pd
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.side_tables import embed_run
from intertwine.checkpoints.shipped import resolve

from .. import TABLES

ENCODERS = [
    f"digits-{learner}-sig-{poison}" for learner in ("supervised", "supcon", "simclr") for poison in ("dirty", "clean")
]


def main() -> None:
    points = pd.concat(embed_run(load_run(resolve(f"zoo:{name}"), device="cpu")) for name in ENCODERS)
    points = points.loc[:, ~points.columns.str.match("[xy]_")]  # principal components are not drawn
    compression = {"method": "gzip", "mtime": 0}  # the same bytes each time
    points.round({"x": 4, "y": 4}).to_csv(TABLES / "embedding.csv.gz", index=False, compression=compression)


if __name__ == "__main__":
    main()
