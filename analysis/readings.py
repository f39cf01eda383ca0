"""All readings of families A and B, and CKA, from the features of one layer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import ParamSpec, SupportsFloat

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..probes.linear import source_accuracy, trigger_separability
from ..probes.mdl import trigger_codelength
from ..probes.nulls import NO_INTERVAL, Interval, jackknife_interval, mean_interval
from ..representations.errors import InputError
from ..representations.geometry import (
    confusion_ratio,
    displacement_cosine,
    distance_ratio,
    distance_ratio_of_kept,
    neighbour_mixing,
    residual_energy,
    residual_energy_of_noise,
    silhouette,
    silhouette_of_kept,
)
from ..representations.geometry.distance import EXACT
from ..representations.seeds import generator
from ..representations.similarity import cka, cka_of_kept, gram

__all__ = ["Features", "Key", "Reading", "mixed_readings", "readings"]

P = ParamSpec("P")
Key = tuple[str, str]  # measure, subset
SMALLEST = 10  # images a subset needs before a geometry is read off it


@dataclass(frozen=True)
class Reading:
    """A value with what is needed to believe it. ``n``: images that it is an average over; ``d``: width of the layer,
    or number of weights; ``status`` and ``params`` as in the rows."""

    value: float
    interval: Interval = NO_INTERVAL
    n: int = 0
    status: str = "ok"
    params: str = ""
    d: int = 0


@dataclass(frozen=True)
class Features:
    """One layer's view of the held-out images, rows L2-normalised here, float64.

    clean, triggered: all n images ``(n, d)``. labels ``(n,)``. hits: bool ``(n,)``, triggered non-targets that the
    evaluator sends to the target (P⁺). augmented: triggered, then augmented non-targets. bank, bank_labels: clean
    labelled images, none held out.
    """

    clean: Tensor
    triggered: Tensor
    augmented: Tensor
    labels: Tensor
    target: int
    hits: Tensor
    bank: Tensor
    bank_labels: Tensor

    def __post_init__(self) -> None:
        for name in ("clean", "triggered", "augmented", "bank"):
            object.__setattr__(self, name, normalize(getattr(self, name).double(), dim=1))

    @property
    def of_target(self) -> Tensor:
        return self.labels == self.target

    def subsets(self) -> dict[str, Tensor]:
        """P and P⁺ as masks."""
        return {"P": ~self.of_target, "P+": self.hits & ~self.of_target}


def readings(f: Features, *, seed: int = 0) -> dict[Key, Reading]:
    """Every reading of the layer. What cannot be read is there too, ``undefined`` with its reason."""
    found: dict[Key, Reading] = {}
    for subset, mask in f.subsets().items():
        found[("neighbour_mixing", subset)] = _guard(_mixing, f, mask, seed)
        found[("silhouette", subset)] = _guard(_silhouette, f, mask, seed)
        found[("source_accuracy", subset)] = _guard(_source, f, mask, seed)
        found[("residual_energy", subset)] = _guard(_displaced, residual_energy, f, mask, seed)
    of_others, of_target = ~f.of_target, f.of_target
    found |= _separability(f, seed)
    found[("distance_ratio", "P")] = _guard(_distance_ratio, f, seed)
    found[("displacement_cosine", "P")] = _guard(_displaced, displacement_cosine, f, of_others, seed)
    found[("confusion_ratio", "P")] = _guard(_confusion, f)
    found[("cka", "C_o~P")] = _guard(cka_reading, f.clean[of_others], f.triggered[of_others], seed)
    found[("cka", "C_t~P_t")] = _guard(cka_reading, f.clean[of_target], f.triggered[of_target], seed)
    return found


def mixed_readings(f: Features, *, seed: int = 0, draws: int = 5) -> dict[tuple[Key, str], Reading]:
    """The fully intertwined end of each reading on the same features, and the nulls that belong to one measure.

    Labels of P and C_t are permuted for the readings that compare the two sets. For the readings of a displacement,
    triggered inputs are given the features of random clean targets, which is what full mixing means there; a source
    class is then unreadable. Values are means over ``draws``.
    """
    drawn: dict[Key, list[Reading]] = {}
    for draw in range(draws):
        for key, value in _one_mix(f, generator(seed, "mixed", draw), seed).items():
            drawn.setdefault(key, []).append(value)
    found = {(key, "mixed"): _average(values) for key, values in drawn.items()}
    of_target, of_others = f.of_target, ~f.of_target
    found[(("trigger_separability", "C_t"), "mixed")] = _guard(_control_task, f, seed)
    noise = residual_energy_of_noise(f.clean, f.labels)
    for subset in f.subsets():
        found[(("residual_energy", subset), "within-noise")] = _guard(Reading, noise, n=len(f.labels))
    for key, mask in ((("cka", "C_o~P"), of_others), (("cka", "C_t~P_t"), of_target)):
        found[(key, "permuted")] = _average([_guard(_permuted_cka, f, mask, seed, i) for i in range(draws)])
    return found


def _one_mix(f: Features, stream: torch.Generator, seed: int) -> dict[Key, Reading]:
    """One draw of the mixed reference."""
    order = torch.randperm(len(f.labels), generator=stream)
    targets = f.clean[f.of_target]
    posing = targets[torch.randint(len(targets), (len(f.labels),), generator=stream)]
    points = torch.where(f.of_target.unsqueeze(1), f.clean, f.triggered)
    found: dict[Key, Reading] = {}
    for subset, mask in f.subsets().items():
        size = int(mask.sum())
        chosen = order[(mask | f.of_target)[order]]
        a, b = points[chosen[:size]], points[chosen[size:]]  # P ∪ C_t, dealt out again into sets of the old sizes
        sources = f.labels[mask][torch.randperm(size, generator=stream)]
        found[("neighbour_mixing", subset)] = _value(size, partial(neighbour_mixing, a, b, seed=seed))
        found[("silhouette", subset)] = _value(size, partial(silhouette, a, b))
        found[("source_accuracy", subset)] = _value(size, partial(_source_rate, f.triggered[mask], sources, seed))
        displaced = partial(residual_energy, f.clean, posing, f.labels, f.target, subset=mask)
        found[("residual_energy", subset)] = _value(size, displaced)
    others = ~f.of_target
    size = int(others.sum())
    cosine = partial(displacement_cosine, f.clean, posing, f.labels, f.target)
    found[("displacement_cosine", "P")] = _value(size, cosine)
    found[("distance_ratio", "P")] = _value(size, partial(distance_ratio, posing[others], f.clean[others], targets))
    return found


def _value(size: int, statistic: Callable[[], SupportsFloat]) -> Reading:
    """A reading without interval of a subset of ``size`` images."""

    def read() -> Reading:
        _need(size)
        return Reading(float(statistic()), n=size)

    return _guard(read)


def _source_rate(features: Tensor, labels: Tensor, seed: int) -> Tensor:
    return source_accuracy(features, labels, seed=seed).nanmean()


def cka_reading(x: Tensor, y: Tensor, seed: int) -> Reading:
    value, k, m = cka(x, y), gram(x), gram(y)
    return Reading(value, jackknife_interval(lambda keep: cka_of_kept(k, m, keep), len(x), seed=seed), len(x))


def _guard(read: Callable[P, Reading], *args: P.args, **kwargs: P.kwargs) -> Reading:
    """The reading, or why there is none: too few images is a state of the data, not a mistake of the user."""
    try:
        reading = read(*args, **kwargs)
    except InputError as error:
        return Reading(
            float("nan"), status="undefined", params=f"reason={str(error).replace(';', ',').replace('=', ':')}"
        )
    if reading.value != reading.value and reading.status == "ok":
        return replace(reading, status="undefined", params="reason=the value is not a number: nothing varies or moves")
    return reading


def _average(values: list[Reading]) -> Reading:
    good = [r for r in values if r.status == "ok"]
    if not good:
        return values[0]
    return Reading(sum(r.value for r in good) / len(good), n=good[0].n, params=f"draws={len(good)}")


def _mean(scores: Tensor, note: str = "") -> Reading:
    kept = scores[~scores.isnan()]
    return Reading(float(kept.mean()), mean_interval(kept), len(kept), params=f"note={note}" if note else "")


def _need(count: int) -> None:
    if count < SMALLEST:
        raise InputError(f"expected at least {SMALLEST} images in the subset, received {count}")


def _mixing(f: Features, mask: Tensor, seed: int, k: int = 10) -> Reading:
    _need(int(mask.sum()))
    _need(int(f.of_target.sum()))
    mixing = neighbour_mixing(f.triggered[mask], f.clean[f.of_target], k=k, seed=seed)
    # Queries are resampled, the bank is fixed. The value is the mean of two sets' means: each set weighs one half.
    both = (mixing.scores_a, mixing.scores_b)
    weights = torch.cat([torch.full_like(s, 1 / max(1, int((~s.isnan()).sum()))) for s in both])  # NaN: in no draw
    smaller = min(len(mixing.scores_a), len(mixing.scores_b))
    highest = (2 * smaller - 1) / smaller
    interval = mean_interval(torch.cat(both), weights=weights, high=highest)
    return Reading(mixing.value, interval, int(mask.sum()), params=f"k={k}")


def _union(f: Features, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Points of P (under the mask) and C_t, one an image, and which of them are P."""
    _need(int(mask.sum()))
    _need(int(f.of_target.sum()))
    points = torch.where(f.of_target.unsqueeze(1), f.clean, f.triggered)
    chosen = mask | f.of_target
    return points[chosen], mask[chosen]


def _silhouette(f: Features, mask: Tensor, seed: int) -> Reading:
    points, in_p = _union(f, mask)
    distances = torch.cdist(points, points, compute_mode=EXACT)

    interval = jackknife_interval(lambda keep: silhouette_of_kept(distances, in_p, keep), len(points), seed=seed)
    every = torch.ones(1, len(points), dtype=torch.bool)
    return Reading(float(silhouette_of_kept(distances, in_p, every)), interval, int(mask.sum()))


def _distance_ratio(f: Features, seed: int) -> Reading:
    _need(int(f.of_target.sum()))
    p, others, targets = f.triggered[~f.of_target], f.clean[~f.of_target], f.clean[f.of_target]
    to_others, to_targets = torch.cdist(p, others, compute_mode=EXACT), torch.cdist(p, targets, compute_mode=EXACT)

    def statistic(keep: Tensor) -> Tensor:
        kept = keep[:, ~f.of_target]  # an image leaves with both its versions
        return distance_ratio_of_kept(to_others, to_targets, kept, kept, keep[:, f.of_target])

    return Reading(distance_ratio(p, others, targets), jackknife_interval(statistic, len(f.labels), seed=seed), len(p))


def _displaced(measure: Callable[..., float], f: Features, mask: Tensor, seed: int) -> Reading:
    _need(int(mask.sum()))

    def of(kept: Tensor) -> float:
        return measure(f.clean[kept], f.triggered[kept], f.labels[kept], f.target, subset=mask[kept])

    interval = jackknife_interval(lambda keep: torch.tensor([of(kept) for kept in keep]), len(f.labels), seed=seed)
    return Reading(of(torch.ones_like(mask)), interval, int(mask.sum()))


def _source(f: Features, mask: Tensor, seed: int) -> Reading:
    _need(int(mask.sum()))
    return _mean(source_accuracy(f.triggered[mask], f.labels[mask], seed=seed))


def _separability(f: Features, seed: int) -> dict[Key, Reading]:
    clean, triggered = f.clean[f.of_target], f.triggered[f.of_target]
    probed = cache(lambda: trigger_separability(clean, triggered, seed=seed))

    def read(selective: bool) -> Reading:
        control = probed().control if selective else 0.0
        low, high = mean_interval(probed().scores)
        return Reading(probed().auc - control, (low - control, high - control), len(clean))

    return {
        ("trigger_separability", "C_t"): _guard(read, selective=False),
        ("trigger_selectivity", "C_t"): _guard(read, selective=True),
        ("trigger_codelength", "C_t"): _guard(_codelength, clean, triggered, seed),
    }


def _control_task(f: Features, seed: int) -> Reading:
    clean, triggered = f.clean[f.of_target], f.triggered[f.of_target]
    return Reading(trigger_separability(clean, triggered, seed=seed).control, n=len(clean))


def _codelength(clean: Tensor, triggered: Tensor, seed: int) -> Reading:
    return Reading(trigger_codelength(clean, triggered, seed=seed), n=len(clean))


def _confusion(f: Features) -> Reading:
    return _mean(confusion_ratio(f.augmented, f.bank, f.bank_labels, f.target), "reimplemented")


def _permuted_cka(f: Features, mask: Tensor, seed: int, index: int) -> Reading:
    x, y = f.clean[mask], f.triggered[mask]
    return Reading(cka(x, y[torch.randperm(len(y), generator=generator(seed, "permuted", index))]), n=len(x))
