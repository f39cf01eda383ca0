"""Family B: is a subset one with the target class, or in a place of its own? With both ends in this encoder.

A subset of held-out images is compared with the clean images of the target class, poisons with their twins. The
references of each reading are ``together`` (two random halves of that class), ``apart`` (the other classes against the
target class, all clean) and ``false-positives`` (clean images that the evaluator sends to the target).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ....representations.errors import InputError
from ....representations.geometry import MixingSides, energy_coefficient_masked, mixing_of_union, neighbours_of
from ....representations.graph import NeighbourGraph
from ....representations.seeds import generator
from ...results.reading import Reading, undefined
from .reading import SMALLEST, Entry, Features, Readings, Union

__all__ = ["ENTRIES", "union"]

NATURAL = 300  # images of each class in ``apart``
# The jackknife's variance of the smaller side over the true one, on planted mixtures: 1.3 to 2.0, and 1.3 where it is
# partly mixed. Without this factor intervals covered 97 to 100 %.
EXCESS = 1.3

Statistic = Callable[[Tensor], Tensor]  # masks of a union's points, bool (B, m) → values (B,)
Statistics = Callable[[Features, str, Union], Mapping[str, tuple[Statistic, dict[str, Any]]]]
"""Features, name of a union, the union → measure → statistic and options of its jackknife."""


def union(f: Features, subset: str) -> Union:
    """A subset and the set that it is compared with, in one."""
    f.need(_other(subset))
    f.need(subset)
    if subset in ("triggered", "hits"):  # distances are computed once for both
        return f.once(f"union of {subset}", lambda: f.union.of(f.mask(subset)))
    return f.once(f"union of {subset}", lambda: Union.pair(f.points(subset), f.points(_other(subset))))


def _other(subset: str) -> str:
    return "poison_twins" if subset == "poisons" else "clean_target"


def _mixing(f: Features, name: str, of: Union) -> dict[str, tuple[Statistic, dict[str, Any]]]:
    """Mean of both sides and the smaller one, of subsets of a union, from one graph."""
    graphs: dict[int, NeighbourGraph] = f.once(f"graphs of {name}", dict)
    n = min(int(of.in_triggered.sum()), int((~of.in_triggered).sum()))
    k = neighbours_of(n)
    sides = _remembered(mixing_of_union(of.points, of.in_triggered, k=k, seed=f.seed, graphs=graphs))
    # Without the correction for curvature: counts of neighbours are rough, and their second differences are noise. On
    # planted truth, n = 200, it gave coverages of .80 (partly mixed) and .92 (apart) instead of .95. Without it they
    # are .93 and .95, and 1.00 where the sets are one.
    options = {"curvature": False, "note": f"k = {k}"}
    largest = (2 * n - 1) / n
    return {
        "neighbour_mixing": (lambda masks: sides(masks).mean, options | {"bounds": (0.0, largest, 2.0 * n)}),
        "smaller_side_mixing": (
            lambda masks: sides(masks).smaller,
            options | {"bounds": (0.0, largest, 1.0 * n), "excess": EXCESS},
        ),
    }


def _remembered(sides: Callable[[Tensor], MixingSides]) -> Callable[[Tensor], MixingSides]:
    """Both measures ask for the same masks."""
    known: dict[bytes, MixingSides] = {}

    def remembered(masks: Tensor) -> MixingSides:
        key = masks.numpy().tobytes()
        if key not in known:
            known[key] = sides(masks)
        return known[key]

    return remembered


def _energy(_f: Features, _name: str, of: Union) -> dict[str, tuple[Statistic, dict[str, Any]]]:
    return {"energy_coefficient": (partial(energy_coefficient_masked, of.distances, of.in_triggered), {})}


def _read(statistics: Statistics, f: Features, subset: str) -> Readings:
    of = union(f, subset)
    found = statistics(f, subset, of).items()
    return {name: f.jackknifed(statistic, len(of.points), of=subset, **options) for name, (statistic, options) in found}


def _values(statistics: Statistics, f: Features, name: str, of: Union) -> dict[str, float]:
    every = torch.ones(1, len(of.points), dtype=torch.bool)
    return {measure: float(statistic(every)) for measure, (statistic, _) in statistics(f, name, of).items()}


def _halves(statistics: Statistics, f: Features, subset: str, stream: torch.Generator) -> dict[str, float]:
    f.need(subset)
    other = _other(subset)
    f.need(other)
    whole = f.once(f"union of {other} alone", lambda: Union.pair(f.points(other), f.points(other)[:0]))
    first = torch.zeros(len(whole.points), dtype=torch.bool)
    first[torch.randperm(len(first), generator=stream)[: len(first) // 2]] = True
    return _values(statistics, f, f"{other} alone", replace(whole, in_triggered=first, whole=whole.distances))


def _natural(statistics: Statistics, f: Features, subset: str) -> Readings:
    """Mean over the other classes of the reading of their clean images against those of the target class."""
    f.need(subset)
    f.need("clean_target")
    unions = f.once("natural classes", lambda: _natural_unions(f))
    if not unions:
        raise InputError(f"labels: expected another class with at least {SMALLEST} images, received none")
    found = [_values(statistics, f, f"class {label} and the target", of) for label, of in unions.items()]
    images = sum(int(of.in_triggered.sum()) for of in unions.values())
    note = f"mean of {len(unions)} classes, at most {NATURAL} images of each"
    return {name: Reading(sum(v[name] for v in found) / len(found), n=images, note=note) for name in found[0]}


def _natural_unions(f: Features) -> dict[int, Union]:
    def drawn(label: int) -> Tensor:
        members = f.clean[f.labels == label]
        order = torch.randperm(len(members), generator=generator(f.seed, "natural-classes", label))
        return members[order[:NATURAL]]

    sizes = {int(label): int((f.labels == label).sum()) for label in f.labels.unique()}
    others = [label for label, size in sizes.items() if label != f.target and size >= SMALLEST]
    return {label: Union.pair(drawn(label), drawn(f.target)) for label in others}


def _false_positives(statistics: Statistics, measures: tuple[str, ...], f: Features, subset: str) -> Readings:
    f.need(subset)
    try:
        return _read(statistics, f, "false_positives")
    except InputError as error:
        count = 0 if f.false_positives is None else f.size("false_positives")
        return dict.fromkeys(measures, replace(undefined(str(error)), n=count))


def _entry(statistics: Statistics, measures: tuple[str, ...], subsets: tuple[str, ...]) -> Entry:
    return Entry(
        measures,
        subsets,
        partial(_read, statistics),
        partial(_halves, statistics),
        apart=partial(_natural, statistics),
        nulls={"false-positives": partial(_false_positives, statistics, measures)},
        fixed=("poisons",),
    )


ENTRIES = (
    _entry(_mixing, ("neighbour_mixing", "smaller_side_mixing"), ("triggered", "hits", "poisons")),
    _entry(_energy, ("energy_coefficient",), ("hits", "poisons")),
)
