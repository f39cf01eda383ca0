"""All readings of families A and B, and CKA, from the features of one layer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

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
    neighbour_mixing,
    residual_energy,
    residual_energy_of_noise,
    silhouette_from_distances,
)
from ..representations.seeds import generator
from ..representations.similarity import cka

__all__ = ["Features", "Key", "Reading", "mixed_readings", "readings"]

Key = tuple[str, str]  # measure, subset
SMALLEST = 10  # images a subset needs before a geometry is read off it


@dataclass(frozen=True)
class Reading:
    """A value with what is needed to believe it. ``n``: images that it is an average over; ``d``: width of the layer, or number
    of weights; ``status`` and ``params`` as in the rows."""

    value: float
    interval: Interval = NO_INTERVAL
    n: int = 0
    status: str = "ok"
    params: str = ""
    d: int = 0


@dataclass(frozen=True)
class Features:
    """One layer's view of the held-out images, rows L2-normalised here, float64.

    clean, triggered: all n images ``(n, d)``. labels ``(n,)``. hits: bool ``(n,)``, triggered non-targets that the evaluator sends
    to the target (P⁺). augmented: triggered, then augmented non-targets. bank, bank_labels: clean labelled images, none held out.
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
        found[("neighbour_mixing", subset)] = _guard(lambda m=mask: _mixing(f, m, seed))
        found[("silhouette", subset)] = _guard(lambda m=mask: _silhouette(f, m, seed))
        found[("source_accuracy", subset)] = _guard(lambda m=mask: _source(f, m, seed))
        found[("residual_energy", subset)] = _guard(lambda m=mask: _displaced(residual_energy, f, m, seed))
    of_others, of_target = ~f.of_target, f.of_target
    found |= _separability(f, seed)
    found[("distance_ratio", "P")] = _guard(lambda: _distance_ratio(f, seed))
    found[("displacement_cosine", "P")] = _guard(lambda: _displaced(displacement_cosine, f, of_others, seed))
    found[("confusion_ratio", "P")] = _guard(
        lambda: _mean(confusion_ratio(f.augmented, f.bank, f.bank_labels, f.target), "reimplemented")
    )
    found[("cka", "C_o~P")] = _guard(lambda: cka_reading(f.clean[of_others], f.triggered[of_others], seed))
    found[("cka", "C_t~P_t")] = _guard(lambda: cka_reading(f.clean[of_target], f.triggered[of_target], seed))
    return found


def mixed_readings(f: Features, *, seed: int = 0, draws: int = 5) -> dict[tuple[Key, str], Reading]:
    """The fully intertwined end of each reading on the same features, and the nulls that belong to one measure.

    Labels of P and C_t are permuted for the readings that compare the two sets. For the readings of a displacement, triggered
    inputs are given the features of random clean targets, which is what full mixing means there; a source class is then unreadable.
    Values are means over ``draws``.
    """
    drawn: dict[Key, list[Reading]] = {}
    for draw in range(draws):
        stream = generator(seed, "mixed", draw)
        shuffled = _permute_sets(f, stream)
        posing = _pose_as_target(f, stream)
        for subset, mask in f.subsets().items():
            a, b = shuffled(mask)
            cases: dict[str, Callable[[], float]] = {
                "neighbour_mixing": lambda a=a, b=b: float(neighbour_mixing(a, b, seed=seed)),  # type: ignore[misc]
                "silhouette": lambda a=a, b=b: _silhouette_of(a, b),  # type: ignore[misc]
                "source_accuracy": lambda m=mask: _permuted_source(f, m, stream, seed),  # type: ignore[misc]
                "residual_energy": lambda m=mask: residual_energy(  # type: ignore[misc]
                    f.clean, posing, f.labels, f.target, subset=m
                ),
            }
            for measure, case in cases.items():
                drawn.setdefault((measure, subset), []).append(_guard(lambda c=case: Reading(c())))
        displaced = displacement_cosine(f.clean, posing, f.labels, f.target)
        drawn.setdefault(("displacement_cosine", "P"), []).append(Reading(displaced))
        as_target = replace(f, triggered=posing)
        drawn.setdefault(("distance_ratio", "P"), []).append(_guard(lambda t=as_target: Reading(_distances(t)(None))))
    found = {(key, "mixed"): _average(values) for key, values in drawn.items()}
    of_target, of_others = f.of_target, ~f.of_target
    control = _guard(lambda: Reading(trigger_separability(f.clean[of_target], f.triggered[of_target], seed=seed).control))
    found[(("trigger_separability", "C_t"), "mixed")] = control
    noise = residual_energy_of_noise(f.clean, f.labels)
    for subset in f.subsets():
        found[(("residual_energy", subset), "within-noise")] = _guard(lambda: Reading(noise, n=len(f.labels)))
    for key, mask in ((("cka", "C_o~P"), of_others), (("cka", "C_t~P_t"), of_target)):
        found[(key, "permuted")] = _average([_guard(lambda m=mask, i=i: _permuted_cka(f, m, seed, i)) for i in range(draws)])
    return found


def cka_reading(x: Tensor, y: Tensor, seed: int) -> Reading:
    return Reading(cka(x, y), jackknife_interval(lambda keep: cka(x[keep], y[keep]), len(x), seed=seed), len(x))


def _guard(read: Callable[[], Reading]) -> Reading:
    """The reading, or why there is none: too few images is a state of the data, not a mistake of the user."""
    try:
        reading = read()
    except InputError as error:
        return Reading(float("nan"), status="undefined", params=f"reason={str(error).replace(';', ',').replace('=', ':')}")
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


def _need(count: int, what: str) -> None:
    if count < SMALLEST:
        raise InputError(f"{what}: expected at least {SMALLEST} images, received {count}")


def _mixing(f: Features, mask: Tensor, seed: int, k: int = 10) -> Reading:
    _need(int(mask.sum()), "P")
    _need(int(f.of_target.sum()), "C_t")
    mixing = neighbour_mixing(f.triggered[mask], f.clean[f.of_target], k=k, seed=seed)
    # The mean of two sets' means: halve both intervals' reach and add in quadrature. Queries are resampled, the bank is fixed.
    n = min(len(mixing.scores_a), len(mixing.scores_b))
    centre, variance = 0.0, 0.0
    for scores in (mixing.scores_a, mixing.scores_b):
        low, high = mean_interval(scores, high=(2 * n - 1) / n)
        centre, variance = centre + (low + high) / 4, variance + ((high - low) / 4) ** 2
    interval = (max(0.0, centre - variance**0.5), centre + variance**0.5)
    return Reading(mixing.value, interval, int(mask.sum()), params=f"k={k}")


def _union(f: Features, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Points of P (under the mask) and C_t, one an image, and which of them are P."""
    _need(int(mask.sum()), "P")
    _need(int(f.of_target.sum()), "C_t")
    points = torch.where(f.of_target.unsqueeze(1), f.clean, f.triggered)
    chosen = mask | f.of_target
    return points[chosen], mask[chosen]


def _silhouette(f: Features, mask: Tensor, seed: int) -> Reading:
    points, in_p = _union(f, mask)
    distances = torch.cdist(points, points)

    def statistic(keep: Tensor) -> float:
        return silhouette_from_distances(distances[keep][:, keep], in_p[keep])

    return Reading(
        silhouette_from_distances(distances, in_p), jackknife_interval(statistic, len(points), seed=seed), int(mask.sum())
    )


def _silhouette_of(a: Tensor, b: Tensor) -> float:
    points = torch.cat([a, b])
    return silhouette_from_distances(torch.cdist(points, points), torch.arange(len(points)) < len(a))


def _distances(f: Features) -> Callable[[Tensor | None], float]:
    """The distance ratio of the images kept, from distances computed once."""
    of_others, of_target = ~f.of_target, f.of_target
    p = f.triggered[of_others]
    to_others, to_targets = torch.cdist(p, f.clean[of_others]), torch.cdist(p, f.clean[of_target])

    def ratio(keep: Tensor | None) -> float:
        if keep is None:
            return float(to_others.mean() / to_targets.mean())
        kept = torch.zeros(len(f.labels), dtype=torch.bool)
        kept[keep] = True
        others, targets = kept[of_others], kept[of_target]
        return float(to_others[others][:, others].mean() / to_targets[others][:, targets].mean())

    return ratio


def _distance_ratio(f: Features, seed: int) -> Reading:
    _need(int(f.of_target.sum()), "C_t")
    ratio = _distances(f)
    return Reading(ratio(None), jackknife_interval(ratio, len(f.labels), seed=seed), int((~f.of_target).sum()))


def _displaced(measure: Callable[..., float], f: Features, mask: Tensor, seed: int) -> Reading:
    _need(int(mask.sum()), "P")

    def statistic(keep: Tensor) -> float:
        return measure(f.clean[keep], f.triggered[keep], f.labels[keep], f.target, subset=mask[keep])

    interval = jackknife_interval(statistic, len(f.labels), seed=seed)
    return Reading(statistic(torch.arange(len(f.labels))), interval, int(mask.sum()))


def _source(f: Features, mask: Tensor, seed: int) -> Reading:
    _need(int(mask.sum()), "P")
    return _mean(source_accuracy(f.triggered[mask], f.labels[mask], seed=seed))


def _permuted_source(f: Features, mask: Tensor, stream: torch.Generator, seed: int) -> float:
    _need(int(mask.sum()), "P")
    labels = f.labels[mask]
    return float(source_accuracy(f.triggered[mask], labels[torch.randperm(len(labels), generator=stream)], seed=seed).nanmean())


def _separability(f: Features, seed: int) -> dict[Key, Reading]:
    clean, triggered = f.clean[f.of_target], f.triggered[f.of_target]

    def read() -> dict[Key, Reading]:
        result = trigger_separability(clean, triggered, seed=seed)
        low, high = mean_interval(result.scores)
        return {
            ("trigger_separability", "C_t"): Reading(result.auc, (low, high), len(clean)),
            ("trigger_selectivity", "C_t"): Reading(
                result.selectivity, (low - result.control, high - result.control), len(clean)
            ),
        }

    codelength = _guard(lambda: Reading(trigger_codelength(clean, triggered, seed=seed), n=len(clean)))
    try:
        found = read()
    except InputError:
        missing = _guard(lambda: Reading(trigger_separability(clean, triggered, seed=seed).auc))
        found = {("trigger_separability", "C_t"): missing, ("trigger_selectivity", "C_t"): missing}
    return found | {("trigger_codelength", "C_t"): codelength}


def _permute_sets(f: Features, stream: torch.Generator) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """P ∪ C_t dealt out again at random into sets of the old sizes."""
    order = torch.randperm(len(f.labels), generator=stream)

    def dealt(mask: Tensor) -> tuple[Tensor, Tensor]:
        chosen = order[(mask | f.of_target)[order]]
        points = torch.where(f.of_target.unsqueeze(1), f.clean, f.triggered)[chosen]
        count = int(mask.sum())
        return points[:count], points[count:]

    return dealt


def _pose_as_target(f: Features, stream: torch.Generator) -> Tensor:
    """Features in which every triggered input looks like a random clean target."""
    targets = f.clean[f.of_target]
    return targets[torch.randint(len(targets), (len(f.labels),), generator=stream)]


def _permuted_cka(f: Features, mask: Tensor, seed: int, index: int) -> Reading:
    x, y = f.clean[mask], f.triggered[mask]
    return Reading(cka(x, y[torch.randperm(len(y), generator=generator(seed, "permuted", index))]), n=len(x))
