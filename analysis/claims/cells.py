"""Cells: what each seed of an arm gives to a claim, from rows, and effects of one or several arms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ...probes.gradients import WHOLE
from ..results.measures import IS_BACKDOORED, PRIMARY
from .statistics import NO_INTERVAL, Effect, contrast, within_runs

__all__ = ["FEW_FALSE_POSITIVES", "SNAPSHOTS", "Runs", "backdoored_text", "effect", "runs_of"]

FEW_FALSE_POSITIVES = 20
"""With fewer, hits are compared with the end ``together``."""
SNAPSHOTS = 5
"""From so many on, interference is the mean over them."""
FALSE_POSITIVES, TOGETHER = "false-positives", "together"
PLACES = PRIMARY | {"half_time_gap": {"layer": WHOLE}}
NAN = float("nan")


@dataclass(frozen=True)
class Reading:
    """Of one run: the value, and how far its 95 % interval reaches below and above it. ``why``: what is missing.
    ``reference``: what it was divided by."""

    value: float = NAN
    below: float = NAN
    above: float = NAN
    why: str = ""
    reference: str = ""


@dataclass(frozen=True)
class OneRun:
    """``backdoored``: ``None`` if it is not known. ``readings``: name → reading."""

    backdoored: bool | None
    readings: dict[str, Reading]


COLUMNS = [
    *("arm", "seed", "epoch", "layer", "subset", "measure", "reference", "value", "ci_low", "ci_high", "n", "status")
]
Line = Mapping[str, Any]
"""A row."""
Final = Mapping[tuple[str, str], Line]
"""Measure and reference → row at the end of training."""
Runs = dict[str, dict[int, OneRun]]
"""Arm → seed → run."""


def runs_of(rows: pd.DataFrame) -> Runs:
    """What claims use of the rows of runs: rows of the kind ``reading``, at the end of training and at snapshots."""
    own = rows[(rows["kind"] == "reading") & (rows["other_run"] == "")]
    last = own.groupby(["arm", "seed"])["epoch"].max().to_dict()
    own = own[own["measure"].isin([*PLACES, IS_BACKDOORED]) & own["reference"].isin(["", FALSE_POSITIVES, TOGETHER])]
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for values in own[COLUMNS].itertuples(index=False, name=None):
        line = dict(zip(COLUMNS, values, strict=True))
        if all(line[column] == value for column, value in PLACES.get(line["measure"], {}).items()):
            lines.setdefault((line["arm"], line["seed"]), []).append(line)
    found: Runs = {}
    for run in rows[["arm", "seed"]].drop_duplicates().itertuples(index=False, name=None):
        found.setdefault(run[0], {})[int(run[1])] = _one_run(lines.get(run, []), last.get(run, NAN))
    return found


def _one_run(lines: Sequence[Line], last: float) -> OneRun:
    final: dict[tuple[str, str], Line] = {}
    for line in lines:
        if math.isnan(line["epoch"]) or line["epoch"] == last:
            final.setdefault((line["measure"], line["reference"]), line)
    found = {measure: _plain(final, measure) for measure in PLACES}
    found["interference"] = _along_training(lines, found["interference"])
    found["interference_size"] = _size(found["interference"])
    found["mixing_ratio"] = _mixing_ratio(final, found["smaller_side_mixing"])
    outcome = final.get((IS_BACKDOORED, ""), {"status": ""})
    return OneRun(outcome["value"] > 0 if outcome["status"] == "ok" else None, found)


def _plain(final: Final, measure: str, reference: str = "") -> Reading:
    name = measure + (f" of {reference}" if reference else "")
    line = final.get((measure, reference))
    if line is None:
        return Reading(why=f"no {name}")
    if line["status"] != "ok":
        return Reading(why=f"{name} is {line['status']}")
    return Reading(line["value"], line["value"] - line["ci_low"], line["ci_high"] - line["value"])


def _along_training(lines: Sequence[Line], final: Reading) -> Reading:
    """The mean over snapshots after the first step, if there are enough. All see the same images, so that their
    intervals do not become narrower."""
    chosen = {
        line["epoch"]: (line["value"], line["value"] - line["ci_low"], line["ci_high"] - line["value"])
        for line in lines
        if (line["measure"], line["reference"], line["status"]) == ("interference", "", "ok") and line["epoch"] > 0
    }
    if len(chosen) < SNAPSHOTS:
        return final
    value, below, above = (float(np.mean(column)) for column in zip(*chosen.values(), strict=True))
    return Reading(value, below, above)


def _size(reading: Reading) -> Reading:
    if reading.value >= 0 or reading.why:
        return reading
    return Reading(-reading.value, reading.above, reading.below)


def _mixing_ratio(final: Final, hits: Reading) -> Reading:
    """Mixing of hits over that of false positives, or where these are few over that of split halves of the target
    class. The limits are those of the linearised ratio (delta method), added as squares."""
    if hits.why:
        return hits
    measure = "smaller_side_mixing"
    natural = final.get((measure, FALSE_POSITIVES), {"status": ""})
    enough = natural["status"] == "ok" and natural["n"] >= FEW_FALSE_POSITIVES
    reference = FALSE_POSITIVES if enough else TOGETHER
    other = _plain(final, measure, reference)
    if other.why:
        return other
    if not other.value > 0:
        return Reading(why=f"{measure} of {reference} is {other.value:g}, no ratio")
    ratio = hits.value / other.value
    below = math.hypot(hits.below, ratio * other.above) / other.value
    above = math.hypot(hits.above, ratio * other.below) / other.value
    return Reading(ratio, below, above, reference=reference)


def effect(runs: Runs, reading: str, weights: Mapping[str, float]) -> Effect:
    """The weighted sum of the means of a reading over arms.

    A run counts if it is backdoored and its reading is ``ok``. If half of an arm's backdoored runs or more have no such
    reading, or none is backdoored, the effect cannot be judged. Seeds are counted within each arm. With one run of each
    arm the interval is over its images.
    """
    cells, blocked, left_out = {}, [], []
    for arm in weights:
        usable, why, missing = _cell(runs.get(arm, {}), reading, arm)
        cells[arm] = usable
        blocked += [why] if why else []
        left_out += missing
    if blocked:
        seeds = min(map(len, cells.values()))
        return Effect(NAN, NO_INTERVAL, NO_INTERVAL, seeds, "; ".join([*blocked, *left_out]))
    if all(len(cell) == 1 for cell in cells.values()):
        only = [(weights[arm], next(iter(cell.values()))) for arm, cell in cells.items()]
        found = within_runs(
            [(weight, r.value, r.below, r.above) for weight, r in only], without=f"{reading} has no interval in a run"
        )
    elif few := [arm for arm, cell in cells.items() if len(cell) < 2]:
        return Effect(NAN, NO_INTERVAL, NO_INTERVAL, 1, f"{', '.join(few)}: one seed only; {'; '.join(left_out)}")
    else:
        found = contrast({arm: pd.Series({s: r.value for s, r in c.items()}) for arm, c in cells.items()}, weights)
    notes = [f"left out: {'; '.join(left_out)}"] if left_out else []
    if divided := [r.reference for cell in cells.values() for r in cell.values() if r.reference]:
        notes.append("over " + " and ".join(f"{name} ({divided.count(name)})" for name in dict.fromkeys(divided)))
    return replace(found, left_out="; ".join(notes))


def _cell(seeds: Mapping[int, OneRun], reading: str, arm: str) -> tuple[dict[int, Reading], str, list[str]]:
    """The usable readings of an arm by seed, why it cannot be judged, and why single seeds are left out."""
    if not seeds:
        return {}, f"no run of {arm}", []
    if all(run.backdoored is None for run in seeds.values()):
        return {}, f"{arm}: not known if a run is backdoored", []
    working = {seed: run.readings[reading] for seed, run in seeds.items() if run.backdoored}
    usable = {seed: found for seed, found in sorted(working.items()) if not found.why}
    missing = [f"{arm} seed {seed}: {found.why}" for seed, found in sorted(working.items()) if found.why]
    missing += [
        f"{arm} seed {s}: not known if backdoored" for s, run in sorted(seeds.items()) if run.backdoored is None
    ]
    if not working:
        return {}, f"{arm}: backdoored in 0 of {len(seeds)} seeds", missing
    if 2 * len(usable) <= len(working):
        return usable, f"{arm}: {reading} in {len(usable)} of {len(working)} backdoored seeds", missing
    return usable, "", missing


def backdoored_text(runs: Runs, arms: Mapping[str, float]) -> str:
    """In how many of its seeds each arm is backdoored; a question mark where no run is known to be or not to be."""
    counts = {}
    for arm in arms:
        outcomes = [run.backdoored for run in runs.get(arm, {}).values()]
        known = [outcome for outcome in outcomes if outcome is not None]
        counts[arm] = f"{sum(known) if known or not outcomes else '?'} of {len(outcomes)}"
    return next(iter(counts.values())) if len(counts) == 1 else ", ".join(f"{arm} {n}" for arm, n in counts.items())
