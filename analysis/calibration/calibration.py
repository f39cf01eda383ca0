"""Do the readings read what they are declared to read, from how many images on, and do their intervals hold?

For every calibrated reading (family B on planted representations, family C on planted learners):

- it *follows* its dial if its values with the dial at its second and its fourth setting are told apart: AUC over
  replicates at least .95, in the declared direction, at some n; the smallest such n is printed as the detectable n;
- it is *flat* in another dial if its mean moves over that dial's same stretch by at most .15 of what it moves over its
  own, at the largest n.

The interval of a reading is held against the mean of the reading over all replicates of one setting and n: what one
would read on average, not the limit of infinitely many images. That of gradient alignment is held against the planted
cosine. Intervals are counted where there is one, and how many readings had none ("without": not told from noise, not
printed as evidence) stands beside it. Target 95 %; accepted from 92 to 98 %.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from ... import figures
from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ..reports.formatting import markdown
from ..reports.labels import LABELS
from ..results.measures import MEASURES
from .planted_representations import PLANTS, Plant

__all__ = ["FLAT", "FOLLOWS", "calibrate", "coverage", "judged", "replicates"]

FOLLOWS, FLAT, ACCEPTED = 0.95, 0.15, (0.92, 0.98)

Row = dict[str, object]


def replicates(
    plants: Sequence[Plant], *, counts: dict[int, int], jobs: int = 2, log: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Readings with each dial moved in turn: columns ``plant, measure, dial, n, setting, seed, value``.

    Args:
        counts: n → number of replicates at each setting.
    """
    work = [
        (plant, dial, setting, n, seed)
        for plant in plants
        for n, count in counts.items()
        for dial, settings in plant.dials.items()
        for setting in settings
        for seed in range(count)
    ]

    def one(plant: Plant, dial: str, setting: float, n: int, seed: int) -> list[Row]:
        torch.set_num_threads(1)
        found = plant.read(n, plant.settled | {dial: setting}, seed, False)
        about = {"plant": plant.name, "dial": dial, "n": n, "setting": setting, "seed": seed}
        return [about | {"measure": name, "value": value[0]} for (name, _), value in found.items()]

    return pd.DataFrame(_in_parallel(one, work, jobs, log))


def _in_parallel(
    one: Callable[..., list[Row]], work: Sequence[tuple[Any, ...]], jobs: int, log: Callable[[str], None]
) -> list[Row]:
    """The rows of all work in its order. Done in a random order, so that the time it has taken tells what is left."""
    order, started = np.random.default_rng(0).permutation(len(work)), time.monotonic()
    done: dict[int, list[Row]] = {}
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(one)(*work[i]) for i in order)
    for place, rows in zip(order, found, strict=True):
        done[int(place)] = rows
        if len(done) % max(1, len(work) // 20) == 0:
            left = (time.monotonic() - started) * (len(work) / len(done) - 1)
            log(f"{len(done)} of {len(work)} done, about {left / 60:.0f} min left")
    return [row for i in range(len(work)) for row in done[i]]


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """One row a reading and other dial: AUC at each n, detectable n, how much the other dial moves it, pass or fail."""
    verdicts = []
    for name, rows in table.groupby("measure", sort=False):
        own = MEASURES[str(name)].dial
        if not own:
            continue
        sizes = sorted(rows["n"].unique())
        aucs = {n: _auc(rows[(rows["dial"] == own) & (rows["n"] == n)]) for n in sizes}
        told = [n for n in sizes if aucs[n] >= FOLLOWS]
        largest = rows[rows["n"] == sizes[-1]]
        move = _move(largest[largest["dial"] == own])
        others = {d: _move(largest[largest["dial"] == d]) / move for d in rows["dial"].unique() if d != own}
        passes = bool(told) and all(abs(share) <= FLAT for share in others.values())
        verdicts.append(
            {
                "reading": name,
                "dial": own,
                **{f"AUC, n = {n}": f"{auc:.2f}" if auc == auc else "–" for n, auc in aucs.items()},
                "detectable n": str(told[0]) if told else f"> {sizes[-1]}",
                "moved by the other dial": "; ".join(f"{d}: {share:+.2f}" for d, share in others.items()) or "–",
                "verdict": "passes" if passes else "fails",
            }
        )
    return pd.DataFrame(verdicts)


def _ends(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    settings = sorted(rows["setting"].unique())
    low, high = (rows.loc[rows["setting"] == settings[i], "value"].dropna() for i in (1, -2))
    return low, high


def _auc(rows: pd.DataFrame) -> float:
    """Chance that a replicate at the lower of the two settings reads more intertwined than one at the higher (on a
    dial that pulls apart), by the measure's declared ends."""
    low, high = (part.to_numpy() for part in _ends(rows))
    if min(len(low), len(high)) < 0.8 * len(rows) / rows["setting"].nunique():
        return float("nan")  # too few replicates had a value
    wins = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
    return float(wins if MEASURES[rows["measure"].iloc[0]].rises else 1 - wins)


def _move(rows: pd.DataFrame) -> float:
    low, high = _ends(rows)
    return float(high.mean() - low.mean())


def coverage(
    plants: Sequence[Plant], *, counts: dict[int, int], jobs: int = 2, log: Callable[[str], None] = lambda line: None
) -> pd.DataFrame:
    """Share of intervals that hold the mean reading, by measure, subset, n and setting of the dials."""

    def one(plant: Plant, setting: dict[str, float], n: int, seed: int) -> list[Row]:
        torch.set_num_threads(1)
        found = plant.read(n, setting, seed + 100_000, True)
        about = {"plant": plant.name, "n": n, "dials": _named(setting)}
        return [
            about | {"measure": m, "subset": s, "value": v, "low": low, "high": high}
            for (m, s), (v, low, high) in found.items()
        ]

    work = [
        (plant, setting, n, seed)
        for plant in plants
        for n, count in counts.items()
        if n in plant.counted
        for setting in plant.covered
        for seed in range(count)
    ]
    rows = pd.DataFrame(_in_parallel(one, work, jobs, log))
    truths = {plant.name: plant.truth for plant in plants}
    settings = {_named(setting): setting for plant in plants for setting in plant.covered}
    table = []
    for key, group in rows.groupby(["plant", "measure", "subset", "n", "dials"], sort=False):
        # The mean of every reading, also of those without an interval: leaving them out would select.
        planted = truths[str(key[0])]
        truth = group["value"].mean() if planted is None else planted(settings[str(key[4])])
        known = group.dropna(subset=["value", "low", "high"])
        hits = (known["low"] <= truth) & (known["high"] >= truth)
        table.append(
            dict(zip(("plant", "measure", "subset", "n", "dials"), key, strict=True))
            | {
                "truth": truth,
                "mean": group["value"].mean(),
                "sd": group["value"].std(),
                "covered": hits.mean(),
                "replicates": len(known),
            }
            | {"half_width": ((known["high"] - known["low"]) / 2).mean(), "without": len(group) - len(known)}
        )
    return pd.DataFrame(table)


def _named(setting: Mapping[str, float]) -> str:
    return ", ".join(f"{dial} {value:g}" for dial, value in setting.items())


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage of each reading over all of its settings, with its standard error, the lowest and highest of them, how
    many of them lie outside of 92 to 98 % by more than two standard errors, and how many readings had no interval."""
    lines = []
    for (plant, measure, subset), group in table.groupby(["plant", "measure", "subset"], sort=False):
        total = int(group["replicates"].sum())
        if total == 0:  # nothing but readings without an interval
            continue
        share = float((group["covered"].fillna(0) * group["replicates"]).sum() / total)
        inside = ACCEPTED[0] <= share <= ACCEPTED[1]
        outside = [
            _outside(covered, count)
            for covered, count in zip(group["covered"], group["replicates"], strict=True)
            if count > 0
        ]
        lines.append(
            {
                "reading": f"{measure} ({subset})",
                "planted": str(plant),
                "family": MEASURES[str(measure)].family,
                "coverage": f"{share:.3f} ± {np.sqrt(share * (1 - share) / total):.3f}",
                "settings, lowest to highest": f"{group['covered'].min():.3f} – {group['covered'].max():.3f}",
                "settings outside": f"{sum(outside)} of {len(outside)}",
                "intervals": str(total),
                "without": str(int(group["without"].sum())),
                "92–98 %": "yes" if inside else "no",
            }
        )
    return pd.DataFrame(lines)


def _outside(covered: float, count: int) -> bool:
    low, high = (abs(end - covered) > 2 * np.sqrt(end * (1 - end) / count) for end in ACCEPTED)
    return bool((covered < ACCEPTED[0] and low) or (covered > ACCEPTED[1] and high))


def calibrate(
    out: Path,
    *,
    quick: bool = False,
    jobs: int = 2,
    plants: Sequence[Plant] = PLANTS,
    log: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Measure, and write ``calibration.md`` with its figure and the tables behind it into ``out``."""
    if jobs < 1:
        raise InputError(f"jobs: expected at least 1 process, received {jobs}")
    counts = {40: 8, 200: 4} if quick else {40: 40, 200: 30, 1000: 12}
    log("moving the dials")
    moved = replicates(plants, counts=counts, jobs=jobs, log=log)
    log("counting what the intervals hold")
    held = coverage(plants, counts={40: 24} if quick else {40: 200, 200: 100, 1000: 60}, jobs=jobs, log=log)
    return written_up(out, moved, held, plants, quick=quick)


def written_up(
    out: Path, moved: pd.DataFrame, held: pd.DataFrame, plants: Sequence[Plant] = PLANTS, *, quick: bool = False
) -> list[Path]:
    """What :func:`calibrate` writes, from the tables of :func:`replicates` and :func:`coverage`."""
    counts = (moved.groupby(["plant", "measure", "dial", "n", "setting"]).size()).groupby("n").max()
    verdicts = judged(moved)
    dials = {str(m): MEASURES[str(m)].dial for m in verdicts["reading"]}
    notes = dict(zip(verdicts["reading"], "detectable n: " + verdicts["detectable n"], strict=True))
    written = []
    for name, table in (("replicates", moved), ("coverage", held)):
        atomic_write(out / f"{name}.csv", table.to_csv(index=False, float_format="%.6g").encode())
        written.append(out / f"{name}.csv")
    drawn = figures.calibration(moved, dials=dials, notes=notes, labels=LABELS)
    written += figures.save(drawn, out / "calibration")
    text = [
        "# Calibration",
        "",
        "Written by `intertwine calibrate`." + (" **Quick run: not for conclusions.**" if quick else ""),
        "",
        (__doc__ or "").split("\n", 1)[1].strip(),
        "",
        *(f"- **{plant.name}**: {plant.about}" for plant in plants),
        "",
        "![Readings against their dials](calibration.png)",
        "",
        f"Replicates at each setting: {', '.join(f'{c} at n = {n}' for n, c in counts.items())}. No AUC (–) where more "
        "than a fifth of them have no value: gradients that are not told from noise, and are not printed as evidence.",
        "",
        markdown(verdicts),
        "",
        "## Coverage of the 95 % intervals",
        "",
        markdown(pooled(held)),
        "",
    ]
    atomic_write(out / "calibration.md", "\n".join(text).encode())
    return [*written, out / "calibration.md"]
