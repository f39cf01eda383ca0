"""Logistic probes for the class and for the trigger, as the literature reports them.

They are computed by name only, because their control task is slow. They describe: the calibrated readings of the same
questions are source accuracy and trigger AUC.
"""

from collections.abc import Callable
from functools import partial

from ....probes.logistic import ProbeResult, class_probe, trigger_probe
from ...results.reading import Reading
from .reading import Entry, Features, Readings

__all__ = ["ENTRIES"]

FOLDS = 5

Probed = Callable[[Features, str], ProbeResult]


def _class(f: Features, subset: str) -> ProbeResult:
    labels = f.labels[f.mask(subset)]
    return f.once(f"class probe of {subset}", lambda: class_probe(f.points(subset), labels, folds=FOLDS, seed=f.seed))


def _trigger(f: Features, pair: str) -> ProbeResult:
    clean, triggered = f.pairs(pair.split("~")[0])
    return f.once(f"trigger probe of {pair}", lambda: trigger_probe(clean, triggered, folds=FOLDS, seed=f.seed))


def _accuracy(name: str, probe: Probed, f: Features, subset: str) -> Readings:
    f.need(subset)
    found = probe(f, subset)
    note = f"selectivity {found.selectivity:.4g}; memorised {found.memorised:.4g}"
    return {name: f.averaged(found.scores, folds=FOLDS, note=note)}


def _control(name: str, probe: Probed, f: Features, subset: str) -> Readings:
    f.need(subset)
    found = probe(f, subset)
    return {name: Reading(found.control, n=int((~found.scores.isnan()).sum()), note="labels dealt out at random")}


ENTRIES = tuple(
    Entry(
        (name,),
        subsets,
        partial(_accuracy, name, probe),
        nulls={"permuted": partial(_control, name, probe)},
        standard="never",
        fixed=("clean",),
    )
    for name, probe, subsets in (
        ("class_probe", _class, ("clean", "triggered")),
        ("trigger_probe", _trigger, ("clean_other~triggered", "clean_target~triggered_target")),
    )
)
