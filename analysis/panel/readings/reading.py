"""What a reading is, what it is read from, and the one way in which intervals are made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ....probes.nulls import NO_INTERVAL, jackknife_interval, mean_interval
from ....representations.errors import InputError
from ....representations.graph import pairwise_distances
from ...results.reading import Reading, undefined

__all__ = ["SMALLEST", "Entry", "Features", "Union"]

T = TypeVar("T")

SMALLEST = 10  # images a subset needs before a geometry is read off it


@dataclass(frozen=True)
class Union:
    """``triggered`` (or ``hits``) and ``clean_target`` in one set: ``points (m, d)``, which of them are triggered, and
    which image each is."""

    points: Tensor
    in_triggered: Tensor
    image: Tensor
    whole: Tensor | None = None
    """Distances that were computed before, if any."""

    @cached_property
    def distances(self) -> Tensor:
        return pairwise_distances(self.points) if self.whole is None else self.whole

    def of(self, subset: Tensor) -> "Union":
        """The part with the triggered ones cut down to the images of a mask; the distances are not computed again."""
        kept = ~self.in_triggered | subset[self.image]
        distances = self.distances[kept][:, kept]
        return Union(self.points[kept], self.in_triggered[kept], self.image[kept], distances)


@dataclass(eq=False)
class Features:
    """One layer's view of the held-out images, rows L2-normalised here, float64.

    clean, triggered: all n images ``(n, d)``. augmented: triggered, then augmented non-targets. labels ``(n,)``. hits:
    bool ``(n,)``, triggered non-targets that the evaluator sends to the target (hits). bank, bank_labels: clean
    labelled images, none held out. unscaled: clean and triggered before the normalisation, for readings of single
    units. ``intervals``: whether readings get one (references do not need them).
    """

    clean: Tensor
    triggered: Tensor
    augmented: Tensor
    labels: Tensor
    target: int
    hits: Tensor
    bank: Tensor
    bank_labels: Tensor
    seed: int = 0
    intervals: bool = True
    unscaled: tuple[Tensor, Tensor] = field(init=False)
    shared: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.unscaled = self.clean, self.triggered
        for name in ("clean", "triggered", "augmented", "bank"):
            setattr(self, name, normalize(getattr(self, name).double(), dim=1))

    def mask(self, subset: str) -> Tensor:
        """Which images a subset holds: ``clean`` all; ``clean_other`` and ``triggered`` those of other classes;
        ``clean_target`` and ``triggered_target`` those of the target; ``hits`` the hits."""
        of_target = self.labels == self.target
        every = torch.ones_like(of_target)
        subset = subset.partition("~")[0]  # a pair is named by both of its sides
        masks = {
            "clean": every,
            "clean_other": ~of_target,
            "triggered": ~of_target,
            "clean_target": of_target,
            "triggered_target": of_target,
        }
        return self.hits & ~of_target if subset == "hits" else masks[subset]

    def points(self, subset: str) -> Tensor:
        """Features of a subset: of clean images where its name begins with ``clean``, else of triggered ones."""
        return (self.clean if subset.startswith("clean") else self.triggered)[self.mask(subset)]

    def pairs(self, subset: str) -> tuple[Tensor, Tensor]:
        """Clean and triggered features of the images of a subset."""
        mask = self.mask(subset)
        return self.clean[mask], self.triggered[mask]

    @cached_property
    def union(self) -> Union:
        """``triggered`` and ``clean_target`` together, one point an image."""
        of_target = self.mask("clean_target")
        points = torch.where(of_target.unsqueeze(1), self.clean, self.triggered)
        return Union(points, ~of_target, torch.arange(len(points)))

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """What several readings need, computed at the first call and kept as long as the features are."""
        if name not in self.shared:
            self.shared[name] = compute()
        value: T = self.shared[name]
        return value

    def need(self, subset: str) -> int:
        """How many images a subset holds, if they are enough to read a geometry off them."""
        count = int(self.mask(subset).sum())
        if count < SMALLEST:
            raise InputError(f"expected at least {SMALLEST} images in {subset}, received {count}")
        return count

    def jackknifed(
        self,
        statistic: Callable[[Tensor], Tensor],
        n: int,
        *,
        of: str,
        blocks: int = 20,
        curvature: bool = True,
        bounds: tuple[float, float, float] | None = None,
        note: str = "",
    ) -> Reading:
        """The statistic of n images with the delete-a-block interval around it.

        statistic: masks of the images, bool ``(B, n)`` → ``(B,)``. of: the subset whose images are counted. blocks,
            curvature, bounds: as in :func:`jackknife_interval`.
        """
        value = float(statistic(torch.ones(1, n, dtype=torch.bool))[0])
        interval = NO_INTERVAL
        if self.intervals:
            interval = jackknife_interval(
                statistic, n, blocks=blocks, seed=self.seed, bounds=bounds, curvature=curvature
            )
        return Reading(value, interval, int(self.mask(of).sum()), note=note)

    def recomputed(
        self, measure: Callable[[Tensor], float], n: int, *, of: str, curvature: bool = True, note: str = ""
    ) -> Reading:
        """A measure that has no cheap form for subsets: bool ``(n,)`` → value. Ten blocks; the correction for
        curvature, which falls as 1/n and takes five times as long, for few images only."""

        def statistic(masks: Tensor) -> Tensor:
            return torch.tensor([measure(mask) for mask in masks], dtype=torch.float64)

        value, interval = measure(torch.ones(n, dtype=torch.bool)), NO_INTERVAL
        if self.intervals:
            interval = jackknife_interval(statistic, n, blocks=10, seed=self.seed, curvature=curvature and n <= 500)
        return Reading(value, interval, int(self.mask(of).sum()), note=note)

    def averaged(self, scores: Tensor, *, folds: int | None = None, note: str = "") -> Reading:
        """Mean of scores in [0, 1], one an image, with the interval of a mean; NaN scores are left out."""
        kept = scores[~scores.isnan()]
        interval = mean_interval(kept, folds=folds) if self.intervals else NO_INTERVAL
        return Reading(float(kept.mean()), interval, len(kept), note=note)


Readings = Mapping[str, Reading]


@dataclass(frozen=True)
class Entry:
    """One line of the table of readings.

    measures: what ``read`` gives, by name. subsets: where it is read; each name is handed to ``read``.
    read: features of a layer and subset → readings by measure. mixed: features, subset and a random stream → one draw
        of the fully intertwined end of each measure. nulls: reference → what it reads like there.
    standard: at which layers the standard set reads it, if it does; asked for by name it is read at all.
    fixed: subsets whose reading does not depend on the trigger.
    """

    measures: tuple[str, ...]
    subsets: tuple[str, ...]
    read: Callable[[Features, str], Readings]
    together: Callable[[Features, str, torch.Generator], Mapping[str, float]] | None = None
    nulls: Mapping[str, Callable[[Features, str], Readings]] = field(default_factory=dict)
    standard: Literal["all", "output", "never"] = "all"
    fixed: tuple[str, ...] = ()

    def guarded(self, read: Callable[[], Readings]) -> Readings:
        """The readings, or why there are none: too few images is a state of the data, not a mistake of the user."""
        try:
            found = read()
        except InputError as error:
            return dict.fromkeys(self.measures, undefined(str(error)))
        reason = "the value is not a number: nothing varies or moves"
        return {
            name: replace(undefined(reason), n=r.n) if r.value != r.value and r.status == "ok" else r
            for name, r in found.items()
        }
