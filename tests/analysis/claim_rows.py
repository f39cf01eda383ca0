"""Planted rows of runs, as claims read them: each arm with its own mixing, M excess and interference."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from intertwine.analysis.results.measures import PRIMARY

from tests.factories import row, table

CELLS = ("supervised-dirty", "supervised-clean", "simclr-dirty", "simclr-clean")
APART, ONE = (0.0, 0.0, 0.0), (0.9, 0.8, 0.6)
"""Mixing, M excess and interference of tasks apart, and of intertwined ones."""
NAMES = ("smaller_side_mixing", "mediation_excess", "interference")


def study_of(
    arms: Mapping[str, tuple[float, float, float]],
    *,
    seeds: int | Mapping[str, Iterable[int]] = 10,
    sd: float = 0.01,
    half: float = 0.02,
    together: float = 0.9,
    natural: tuple[float, int] | None = None,
    failed: Iterable[str] = (),
    status: str = "ok",
) -> pd.DataFrame:
    """Rows of a study. seeds: how many, or arm → which. sd: spread over seeds. half: half-width of the intervals.
    natural: mixing of false positives and their number. failed: runs that are not backdoored."""
    rng = np.random.default_rng(0)
    rows = []
    for arm, values in arms.items():
        for seed in range(seeds) if isinstance(seeds, int) else seeds[arm]:
            run = f"{arm}/seed{seed}"
            own = dict(zip(NAMES, np.array(values) + sd * rng.normal(size=3), strict=True))
            for measure, value in own.items():
                interval = value - half, value + half
                rows.append(row(run, measure, value, interval=interval, status=status, n=100, **PRIMARY[measure]))
            others = {"together": (together, 100)} | ({"false-positives": natural} if natural else {})
            for reference, (value, n) in others.items():
                about = {"interval": (value - half, value + half), "n": n, **PRIMARY["smaller_side_mixing"]}
                rows.append(row(run, "smaller_side_mixing", value, reference, **about))
            rows.append(row(run, "backdoored", float(run not in set(failed)), subset="triggered"))
    return table(*rows)


def twins_of(rows: pd.DataFrame, mixing: float, others: float) -> pd.DataFrame:
    """The same rows with those of benign twins, which must not change a verdict."""
    own = rows[rows["measure"].isin(NAMES) & (rows["reference"] == "")]
    value = own["measure"].map(lambda measure: mixing if measure == NAMES[0] else others)
    twins = own.assign(reference="benign", value=value, ci_low=value - 0.02, ci_high=value + 0.02)
    return pd.concat([rows, twins], ignore_index=True)


def verdicts(claims: pd.DataFrame, *, registered: bool = True) -> dict[tuple[str, str, str], str]:
    """Claim, arm and what it is compared with → verdict."""
    if registered:
        claims = claims[claims["family"] == "registered"]
    return {(r.claim, r.arm, r.against): r.verdict for r in claims.itertuples()}
