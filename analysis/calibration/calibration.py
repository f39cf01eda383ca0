"""Do readings follow what they measure, from how many images on, and do their intervals have the right coverage?

The primaries are tested where a share m is common to both tasks. Those of geometry, the smaller side of neighbour
mixing and the energy coefficient, are tested on mixtures, where m is the share of hits in the target class's own
distribution. Mediation and collateral are tested on networks, where m is the share of the trigger's activation in the
branch of the target class.

- They are *monotone* if their mean rises, or falls, with every step of m.
- They are *flat* in another dial if that dial changes their mean by at most .05, at m = 0, ½ and 1.

Interference is tested on learners whose gradients have a planted cosine, and every other calibrated reading on planted
representations or units:

- It *follows* its dial if the dial's second and fourth settings can be distinguished at some n, in the declared
  direction: AUC over replicates at least .95. The smallest such n is the detectable n.
- It is *flat* in another dial if that dial moves its mean by at most .15 of what its own dial does. This is tested at
  the largest n.

The truth of an interval is the mean of the reading over all replicates of one setting and n: what a user would compute
on average, not the limit of infinitely many images. For interference it is the planted cosine. The column
"without" counts readings without an interval: they cannot be distinguished from noise and are not evidence. The target
is 95 %; from 92 to 98 % is accepted.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ... import figures
from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ..reports.formatting import markdown
from ..reports.labels import LABELS
from ..results.measures import MEASURES
from .coverage import coverage, pooled
from .dials import replicates, verdicts
from .flatness import flatness, monotone
from .plant import Plant
from .planted_representations import PLANTS

__all__ = ["calibrate", "write_calibration"]


def calibrate(
    out: Path,
    *,
    quick: bool = False,
    jobs: int = 2,
    plants: Sequence[Plant] = PLANTS,
    log: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Measure, and write ``calibration.md`` with its figure and tables into ``out``; return the files written.

    Raises:
        InputError: fewer than one process.
    """
    if jobs < 1:
        raise InputError(f"jobs: expected at least 1 process, received {jobs}")
    counts = {40: 8, 200: 4} if quick else {40: 40, 200: 30, 1000: 12}
    if quick:
        plants = [replace(plant, redraws=0) for plant in plants]
    log("replicates of every setting")
    moved = replicates(plants, counts=counts, jobs=jobs, log=log)
    log("coverage of the intervals")
    held = coverage(plants, counts={40: 24} if quick else {40: 200, 200: 100, 1000: 60}, jobs=jobs, log=log)
    return write_calibration(out, moved, held, plants, quick=quick)


def write_calibration(
    out: Path, moved: pd.DataFrame, held: pd.DataFrame, plants: Sequence[Plant] = PLANTS, *, quick: bool = False
) -> list[Path]:
    """Write the page, figure and tables, from the tables of :func:`.replicates` and :func:`.coverage`."""
    counts = (moved.groupby(["plant", "measure", "dial", "n", "setting"]).size()).groupby("n").max()
    table_of_verdicts, of_primaries = verdicts(moved), monotone(moved)
    dials = {str(m): MEASURES[str(m)].dial for m in moved["measure"].unique() if MEASURES[str(m)].dial}
    notes = {
        str(line["reading"]): f"detectable n: {line['detectable n']}" for line in table_of_verdicts.to_dict("records")
    }
    written = []
    for name, table in (("replicates", moved), ("coverage", held)):
        atomic_write(out / f"{name}.csv", table.to_csv(index=False, float_format="%.4g").encode())
        written.append(out / f"{name}.csv")
    with figures.style():
        drawn = figures.calibration(moved, dials=dials, notes=notes, labels=LABELS)
        written += figures.save(drawn, out / "calibration")
    text = [
        "# Calibration",
        "",
        "Written by `intertwine calibrate`." + (" **Quick run: not for conclusions.**" if quick else ""),
        "",
        (__doc__ or "").strip(),
        "",
        *(f"- **{plant.name}**: {plant.about}" for plant in plants),
        "",
        "![Readings against their dials](calibration.png)",
        "",
        f"Replicates at each setting: {', '.join(f'{c} at n = {n}' for n, c in counts.items())}. There is no "
        "AUC (–) where more than a fifth of them have no value: their gradients cannot be distinguished from noise.",
        "",
        *([markdown(table_of_verdicts), ""] if len(table_of_verdicts) else []),
        *(
            [
                *("## Primaries", "", markdown(of_primaries), ""),
                *(markdown(flatness(moved)), ""),
            ]
            if len(of_primaries)
            else []
        ),
        "## Coverage of the 95 % intervals",
        "",
        markdown(pooled(held)),
        "",
    ]
    atomic_write(out / "calibration.md", "\n".join(text).encode())
    return [*written, out / "calibration.md"]
