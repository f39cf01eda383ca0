"""What a reader of rows must know before the verdicts: where the backdoor itself is in doubt."""

import pandas as pd

from ...training.arms import ARMS
from ..results.measures import RATES
from ..results.schema import BACKDOORED, EVALUATOR_TITLES
from ..results.table import by_deciding_evaluator
from .formatting import number

__all__ = ["cautions"]

FEW = 3
"""Up to so many runs of an arm are named one by one."""

DISAGREEMENT = "the evaluators disagree: ASR is {} by kNN and {} by the ridge probe."
OTHER_TRIGGERS = "triggers that were not trained reach ASR {} (benign twin {})."

Caution = tuple[str, str, tuple[float, ...]]
"""The sentence with gaps for numbers, what it means, the numbers."""


MANY_TIMES = 1.5
"""Numbers of images that differ by this factor are named."""


def cautions(rows: pd.DataFrame) -> list[str]:
    """One line a run and caution; one line an arm if it has more than :data:`FEW` such runs."""
    return [*_images(rows), *_of_arms(rows)]


def _images(rows: pd.DataFrame) -> list[str]:
    """A line where runs were measured on different numbers of images."""
    of_clean = rows[(rows["subset"] == "clean") & (rows["reference"] == "") & ~rows["measure"].isin(RATES)]
    counts = of_clean.groupby("run", sort=False)["n"].max()
    counts = counts[counts > 0]
    if counts.empty or counts.max() < MANY_TIMES * counts.min():
        return []
    few, many = str(counts.idxmin()), str(counts.idxmax())
    return [
        f"the numbers of images differ: {few} was measured on {counts[few]}, {many} on {counts[many]}. "
        "Some readings depend on it (ranks, codelengths, density), and readings of few images are less certain."
    ]


def _of_arms(rows: pd.DataFrame) -> list[str]:
    asr = rows[(rows["measure"] == "asr") & rows["arm"].map(lambda arm: ARMS[arm].is_poisoned if arm in ARMS else True)]
    lines: list[str] = []
    for arm, of_arm in asr.groupby("arm", sort=False):
        by_meaning: dict[str, list[tuple[str, str, tuple[float, ...]]]] = {}
        for run, of_run in of_arm.groupby("run", sort=False):
            for sentence, means, values in _of_run(of_run):
                by_meaning.setdefault(means, []).append((str(run), sentence, values))
        for means, found in by_meaning.items():
            if len(found) <= FEW:
                lines += [f"{run}: {sentence.format(*map(number, values))} {means}" for run, sentence, values in found]
                continue
            ranges = [f"{number(min(v))} to {number(max(v))}" for v in zip(*(v for *_, v in found), strict=True)]
            runs = f"{len(found)} of {of_arm['run'].nunique()} runs"
            lines.append(f"{arm}, {runs}: {found[0][1].format(*ranges)} {means}")
    return lines


def _of_run(asr: pd.DataFrame) -> list[Caution]:
    """``asr``: the rows of ASR of one run."""
    rate = {(r["evaluator"], r["reference"]): float(r["value"]) for r in asr.to_dict("records")}
    decides = by_deciding_evaluator(asr)["evaluator"].iloc[0]
    evaluator = EVALUATOR_TITLES[decides]
    found: list[Caution] = []
    both = rate[("knn", "")], rate[("ridge", "")]
    if abs(both[0] - both[1]) > BACKDOORED:
        found.append((DISAGREEMENT, f"Hits and statuses are by {evaluator}.", both))
    own, benign = rate[(decides, "")], rate.get((decides, "benign"))
    if benign is None:
        return found
    if benign >= BACKDOORED:
        means = "ASR alone is then no evidence of a backdoor."
        found.append((f"the benign twin has ASR {{}} by {evaluator}.", means, (benign,)))
    other = rate.get((decides, "random-trigger"), 0.0)
    if other - benign > BACKDOORED:
        much = "about as much as to this one" if own - other < BACKDOORED else "too"
        means = f"It responds to the kind of trigger {much}: the random trigger is no unrelated reference here."
        found.append((OTHER_TRIGGERS, means, (other, benign)))
    return found
