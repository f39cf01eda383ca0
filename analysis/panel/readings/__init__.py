"""The table of readings: what is computed from the features of one layer of one encoder.

Interference, interventions and the rates are not here: they need more than features.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from ....representations.seeds import generator
from ...results.reading import Reading, undefined
from . import density, description, effect, logistic, machinery, mixing, two_sets
from .description import cka_reading
from .machinery import ERASURE
from .reading import SMALLEST, Entry, Features

__all__ = [
    "ENTRIES",
    "ERASURE",
    "SMALLEST",
    "Entry",
    "Features",
    "Reading",
    "cka_reading",
    "read",
    "read_nulls",
    "undefined",
]

ENTRIES: tuple[Entry, ...] = (
    *effect.ENTRIES,
    *two_sets.ENTRIES,
    *mixing.ENTRIES,
    *machinery.ENTRIES,
    *description.ENTRIES,
    *density.ENTRIES,
    *logistic.ENTRIES,
)

DRAWS = 5


def read(
    f: Features, wanted: Collection[str], *, trigger_only: bool = False, subsets: Collection[str] | None = None
) -> dict[tuple[str, str], Reading]:
    """The wanted readings of a layer by (measure, subset).

    A reading that cannot be computed is ``undefined``, with its reason. trigger_only: only those that depend on the
    trigger. subsets: only those of these subsets.
    """
    found: dict[tuple[str, str], Reading] = {}
    for entry in ENTRIES:
        for subset in entry.subsets if any(m in wanted for m in entry.measures) else ():
            if (trigger_only and subset in entry.fixed) or (subsets is not None and subset not in subsets):
                continue
            values = entry.guarded(partial(entry.read, f, subset))
            found |= {(name, subset): values[name] for name in entry.measures if name in wanted}
    return found


def read_nulls(f: Features, wanted: Collection[str]) -> dict[tuple[str, str, str], Reading]:
    """The references that come from the same features, by (measure, subset, reference).

    These are the two ends in this encoder, ``together`` (mean of five draws) and ``apart``, and the references of
    single measures.
    """
    found: dict[tuple[str, str, str], Reading] = {}
    for entry in ENTRIES:
        for subset in entry.subsets if any(m in wanted for m in entry.measures) else ():
            references: dict[str, Callable[[], Mapping[str, Reading]]]
            references = {name: partial(read, f, subset) for name, read in entry.nulls.items()}
            if entry.together is not None:
                references["together"] = partial(_together, entry, f, subset)
            if entry.apart is not None:
                references["apart"] = partial(entry.apart, f, subset)
            for reference, values in references.items():
                for name, reading in entry.guarded(values).items():
                    if name in wanted:
                        found[(name, subset, reference)] = reading
    return found


def _together(entry: Entry, f: Features, subset: str) -> dict[str, Reading]:
    assert entry.together is not None
    draws = [entry.together(f, subset, generator(f.seed, "together", subset, i)) for i in range(DRAWS)]
    n = f.size(subset)
    return {name: Reading(sum(d[name] for d in draws) / DRAWS, n=n, note=f"mean of {DRAWS} draws") for name in draws[0]}
