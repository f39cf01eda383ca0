"""Entries of the table of readings, the features that they use, and their intervals."""

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

SMALLEST = 10  # images that a subset needs for a reading of its geometry
TRAINING = ("poisons", "poison_twins")  # subsets of training images


@dataclass(frozen=True)
class Union:
    """``triggered`` (or ``hits``) and ``clean_target`` in one set.

    Also any other two sets. points: ``(m, d)``. in_triggered: bool ``(m,)``, which of them are triggered, or of the
    first set. image: int64 ``(m,)``, the image of each. whole: distances computed before, if any.
    """

    points: Tensor
    in_triggered: Tensor
    image: Tensor
    whole: Tensor | None = None

    @classmethod
    def pair(cls, first: Tensor, second: Tensor) -> "Union":
        """The union of two sets of points without an image in common."""
        points = torch.cat([first, second])
        image = torch.arange(len(points))
        return cls(points, image < len(first), image)

    @cached_property
    def distances(self) -> Tensor:
        return pairwise_distances(self.points) if self.whole is None else self.whole

    def of(self, subset: Tensor) -> "Union":
        """The union with only those triggered images that are in a mask. Distances are not computed again."""
        mask = ~self.in_triggered | subset[self.image]
        distances = self.distances[mask][:, mask]
        return Union(self.points[mask], self.in_triggered[mask], self.image[mask], distances)


@dataclass(eq=False)
class Features:
    """Features of the held-out images at one layer, float64, with rows normalised to length 1.

    clean, triggered: all images without and with the trigger, ``(n, d)``. augmented: images of other classes,
    triggered and then augmented. labels: ``(n,)``. hits: bool ``(n,)``, images of other classes that the evaluator
    sends to the target with the trigger, and elsewhere without. bank, bank_labels: clean labelled images, none held
    out. intervals: whether readings get intervals; references do not need them. false_positives: bool ``(n,)``, images
    of other classes that the evaluator sends to the target without the trigger. poisons, poison_twins: features of
    training images ``(m, d)``: those that got the trigger, with it, and clean ones of the class that they are bound to.
    unscaled: clean and triggered before the normalisation, for readings of single units.
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
    false_positives: Tensor | None = None
    poisons: Tensor | None = None
    poison_twins: Tensor | None = None
    unscaled: tuple[Tensor, Tensor] = field(init=False)
    shared: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.unscaled = self.clean, self.triggered
        for name in ("clean", "triggered", "augmented", "bank", *TRAINING):
            if getattr(self, name) is not None:
                setattr(self, name, normalize(getattr(self, name).double(), dim=1))

    def mask(self, subset: str) -> Tensor:
        """Mask of the held-out images of a subset, bool ``(n,)``. (See :data:`.schema.SUBSETS`.)"""
        of_target = self.labels == self.target
        every = torch.ones_like(of_target)
        subset = subset.partition("~")[0]  # the name of a pair has both subsets
        masks = {
            "clean": every,
            "clean_other": ~of_target,
            "triggered": ~of_target,
            "clean_target": of_target,
            "triggered_target": of_target,
        }
        if subset == "false_positives":
            return self._given(subset) & ~of_target
        return self.hits & ~of_target if subset == "hits" else masks[subset]

    def points(self, subset: str) -> Tensor:
        """Features of a subset: of clean images if its name says so, else of triggered ones.

        Raises:
            InputError: the subset is not known of this encoder.
        """
        if subset in TRAINING:
            return self._given(subset)
        clean = subset.startswith("clean") or subset == "false_positives"
        return (self.clean if clean else self.triggered)[self.mask(subset)]

    def size(self, subset: str) -> int:
        """Number of images of a subset."""
        return len(self._given(subset)) if subset in TRAINING else int(self.mask(subset).sum())

    def _given(self, name: str) -> Tensor:
        """An optional field."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise InputError(f"{name}: expected the subset, received none for this encoder")
        return value

    def pairs(self, subset: str) -> tuple[Tensor, Tensor]:
        """Clean and triggered features of the images of a subset."""
        mask = self.mask(subset)
        return self.clean[mask], self.triggered[mask]

    @cached_property
    def union(self) -> Union:
        """The union of ``triggered`` and ``clean_target``, one point an image."""
        of_target = self.mask("clean_target")
        points = torch.where(of_target.unsqueeze(1), self.clean, self.triggered)
        return Union(points, ~of_target, torch.arange(len(points)))

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """A value that several readings need, computed at the first call and stored."""
        if name not in self.shared:
            self.shared[name] = compute()
        value: T = self.shared[name]
        return value

    def need(self, subset: str) -> int:
        """Number of images of a subset.

        Raises:
            InputError: there are too few for a reading of geometry.
        """
        count = self.size(subset)
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
        excess: float = 1.0,
        note: str = "",
    ) -> Reading:
        """A statistic of n images, with the interval of the delete-a-block jackknife.

        statistic: masks of the images, bool ``(B, n)`` → values ``(B,)``. of: the subset whose images are counted.
        blocks, curvature, bounds, excess: as in :func:`jackknife_interval`.
        """
        value = float(statistic(torch.ones(1, n, dtype=torch.bool))[0])
        interval = NO_INTERVAL
        if self.intervals:
            interval = jackknife_interval(
                statistic, n, blocks=blocks, seed=self.seed, bounds=bounds, curvature=curvature, excess=excess
            )
        return Reading(value, interval, self.size(of), note=note)

    def recomputed(
        self, measure: Callable[[Tensor], float], n: int, *, of: str, curvature: bool = True, note: str = ""
    ) -> Reading:
        """A measure without a cheap form for subsets: mask bool ``(n,)`` → value.

        Its interval has ten blocks. The correction for curvature, which falls as 1/n and takes five times as long, is
        used for few images only.
        """

        def statistic(masks: Tensor) -> Tensor:
            return torch.tensor([measure(mask) for mask in masks], dtype=torch.float64)

        value, interval = measure(torch.ones(n, dtype=torch.bool)), NO_INTERVAL
        if self.intervals:
            interval = jackknife_interval(statistic, n, blocks=10, seed=self.seed, curvature=curvature and n <= 500)
        return Reading(value, interval, self.size(of), note=note)

    def averaged(self, scores: Tensor, *, folds: int | None = None, note: str = "") -> Reading:
        """Mean of scores in [0, 1], one an image, with the interval of a mean. NaN scores are left out."""
        defined = scores[~scores.isnan()]
        interval = mean_interval(defined, folds=folds) if self.intervals else NO_INTERVAL
        return Reading(float(defined.mean()), interval, len(defined), note=note)


Readings = Mapping[str, Reading]


@dataclass(frozen=True)
class Entry:
    """One line of the table of readings.

    measures: names of the measures. subsets: those on which they are computed.
    read: features of a layer, subset → readings by measure.
    together: features, subset, random stream → one draw of the fully intertwined end of each measure.
    apart: function like ``read`` that computes the other end, for natural classes of this encoder.
    nulls: reference → function like ``read`` that computes it.
    standard: the layers at which the standard set computes it: all, the output, or never.
    fixed: subsets whose readings do not depend on the trigger.
    """

    measures: tuple[str, ...]
    subsets: tuple[str, ...]
    read: Callable[[Features, str], Readings]
    together: Callable[[Features, str, torch.Generator], Mapping[str, float]] | None = None
    apart: Callable[[Features, str], Readings] | None = None
    nulls: Mapping[str, Callable[[Features, str], Readings]] = field(default_factory=dict)
    standard: Literal["all", "output", "never"] = "all"
    fixed: tuple[str, ...] = ()

    def guarded(self, read: Callable[[], Readings]) -> Readings:
        """The readings, ``undefined`` with a reason where they fail: too few images are no mistake of the user."""
        try:
            found = read()
        except InputError as error:
            return dict.fromkeys(self.measures, undefined(str(error)))
        reason = "the value is not a number: nothing varies or moves"
        return {
            name: replace(undefined(reason), n=r.n) if r.value != r.value and r.status == "ok" else r
            for name, r in found.items()
        }
