"""Show one encoder the held-out images under one or several triggers, and read everything off it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...probes.alignment import align
from ...probes.gradients import WHOLE, alignment_grams, gradient_blocks, task_loss
from ...probes.linear import LinearHead, ridge_head
from ...probes.nulls import mean_interval
from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS, accuracy, attack_success, default_k
from ...representations.seeds import generator
from ...training.augment import Augment
from ..results.table import DEFAULT_EVALUATOR, format_params
from .reading_sets import INCLUDING, ReadingSet
from .readings import ERASURE, Features, Reading, read, undefined
from .readings.network import BY_NAME, INSPECTIONS, inspected

__all__ = [
    *("LEAST_IMAGES", "Found", "Key", "Measured", "Probe", "Transform"),
    *("alignment_reading", "asr_key", "measure"),
]

Transform = Callable[[Tensor], Tensor]
Key = tuple[str, str, str, str]  # layer, measure, subset, evaluator ("" unless it is a rate)
Found = dict[Key, Reading]

LEAST_IMAGES = 100
MOST_AUGMENTED = 500  # images behind the confusion ratio: a forward pass of their own
BANKED = frozenset({"confusion_ratio", *ERASURE})  # read against the bank, at every layer
BLOCKS, MOST_IN_GRADIENTS = 24, 768  # backward passes cost three forward ones


@dataclass(frozen=True)
class Probe:
    """What every encoder of a panel is shown: ``test`` (uint8 ``(n, 3, H, W)``) with ``labels``, and a labelled clean
    ``bank``.

    Rates are read off all test images. Everything else is read off ``most`` of them, and the evaluators see
    ``most_bank`` images of the bank, both drawn by ``seed``: what is held in memory does not grow with the data.
    ``evaluator``: the one of :data:`.evaluate.EVALUATORS` that decides hits, and whether the backdoor works.
    """

    test: Tensor
    labels: Tensor
    bank: Tensor
    bank_labels: Tensor
    target: int
    augment: Augment = field(default_factory=Augment)
    seed: int = 0
    most: int = 2000
    most_bank: int = 5000
    evaluator: str = "knn"
    drawn: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for name in ("test", "bank"):
            images, labels = getattr(self, name), self.labels if name == "test" else self.bank_labels
            if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
                raise InputError(
                    f"{'images' if name == 'test' else 'bank'}: expected uint8 (n, 3, H, W), received {images.dtype} "
                    f"{tuple(images.shape)}"
                )
            if labels.shape != (len(images),) or labels.dtype != torch.int64:
                raise InputError(
                    f"labels: expected int64 ({len(images)},), received {labels.dtype} {tuple(labels.shape)}"
                )
            present = labels.unique()
            if self.target not in present or len(present) < 2:
                raise InputError(
                    f"target: expected class {self.target} and at least one other among the {name} labels, "
                    f"received classes {present.tolist()[:20]}"
                )
        for name, count in (("most (--images)", self.most), ("most_bank (--bank)", self.most_bank)):
            if count < LEAST_IMAGES:
                raise InputError(f"{name}: expected at least {LEAST_IMAGES} images, received {count}")
        if self.evaluator not in EVALUATORS:
            raise InputError(f"evaluator: expected one of {', '.join(EVALUATORS)}, received {self.evaluator!r}")
        object.__setattr__(self, "drawn", self._draw(len(self.test), self.most, "held-out"))
        if len(self.bank) > self.most_bank:
            chosen = self._draw(len(self.bank), self.most_bank, "bank-images")
            object.__setattr__(self, "bank", self.bank[chosen])
            object.__setattr__(self, "bank_labels", self.bank_labels[chosen])

    def _draw(self, n: int, most: int, purpose: str) -> Tensor:
        if n <= most:
            return torch.arange(n)
        return torch.randperm(n, generator=generator(self.seed, purpose))[:most].sort().values

    @property
    def images(self) -> Tensor:
        """The images that everything but the rates is read off."""
        return self.test[self.drawn]

    @property
    def classes(self) -> Tensor:
        """Labels of :attr:`images`."""
        return self.labels[self.drawn]

    @property
    def others(self) -> Tensor:
        """Which of :attr:`images` are not of the target class."""
        return self.classes != self.target


@dataclass(frozen=True)
class Measured:
    """What was read under one trigger; ``features`` by layer and ``grams`` of block gradients are kept for the
    references. ``hits``: hits of the drawn images."""

    found: Found
    features: dict[str, Features]
    grams: dict[str, Tensor]
    hits: Tensor


def measure(
    encoder: Encoder,
    triggers: Sequence[Transform],
    layers: Sequence[str],
    probe: Probe,
    chosen: ReadingSet,
    *,
    hits: Tensor | None = None,
    heads: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    intervals: bool = True,
) -> list[Measured]:
    """Rates, the chosen readings by layer, and gradient alignment, once a trigger.

    Args:
        hits: hits, bool, one an image of ``probe.images``; by default what the probe's evaluator sends to the target
            under the *first* trigger.
        heads: name → native classifier on features, for the rates only.
        intervals: whether readings get one. Under triggers after the first, which are references, they get none, and
            what does not depend on the trigger is not read again.
    """
    wanted = tuple(dict.fromkeys([*layers, FEATURES]))  # the evaluators need the output
    bank = capture(encoder, probe.bank, layers=wanted if BANKED & chosen.measures else (FEATURES,))
    clean = capture(encoder, probe.images, layers=wanted)
    predict = _Predictor(encoder, probe, bank[FEATURES], heads or {})
    on_clean = predict(clean[FEATURES], None)
    head = _Head.of(bank[FEATURES], probe) if {"gradient_alignment", *BY_NAME} & chosen.measures else None
    grams_asked = head is not None and "gradient_alignment" in chosen.measures
    all_grams, too_few = None, ""
    if head and grams_asked:
        try:
            all_grams = _grams(encoder, triggers, probe, head)
        except InputError as error:  # too few images: a state of the data, not a mistake of the user
            too_few = str(error)
    results = []
    for i, trigger in enumerate(triggers):
        triggered = capture(encoder, probe.images, layers=wanted, transform=trigger)
        augmented = (
            _augmented(encoder, trigger, probe, wanted)
            if "confusion_ratio" in chosen.measures
            else {layer: x[:0] for layer, x in clean.items()}
        )
        on_triggered = predict(triggered[FEATURES], trigger)
        including = INCLUDING in chosen.measures
        found = _rates(on_clean, on_triggered, probe, len(bank[FEATURES]), clean[FEATURES].shape[1], including)
        hits = (on_triggered[probe.evaluator][probe.drawn] == probe.target) & probe.others if hits is None else hits
        features = {
            layer: Features(
                *(clean[layer], triggered[layer], augmented[layer], probe.classes, probe.target, hits),
                *(bank.get(layer, clean[layer][:0]), probe.bank_labels, probe.seed, intervals and i == 0),
            )
            for layer in layers
        }
        for layer, f in features.items():
            for (name, subset), reading in read(f, chosen.at(layer), trigger_only=i > 0).items():
                found[(layer, name, subset, "")] = replace(reading, d=f.clean.shape[1])
        if i == 0 and chosen.measures & set(INSPECTIONS) and _has_weights(encoder):
            found |= _inspected(encoder, trigger, probe, head, hits, chosen, intervals)
        grams = all_grams[i] if all_grams else {}
        for layer, gram in grams.items():
            n = min(int(probe.others.sum()), MOST_IN_GRADIENTS)
            found[(layer, "gradient_alignment", "clean_other", "")] = alignment_reading(gram, n)
        if too_few:
            found[(WHOLE, "gradient_alignment", "clean_other", "")] = undefined(too_few)
        results.append(Measured(found, features, grams, hits))
    return results


def asr_key(evaluator: str) -> Key:
    return FEATURES, "asr", "triggered", evaluator


def alignment_reading(gram: Tensor, n: int) -> Reading:
    a = align(gram)
    params = format_params(naive=a.naive, norm_benign=a.norm_g, norm_backdoor=a.norm_h, blocks=len(gram) // 2)
    return Reading(a.value, a.interval, n, a.status, params)


@dataclass(frozen=True)
class _Predictor:
    """Predictions of every evaluator on all test images, those that are not drawn a few at a time."""

    encoder: Encoder
    probe: Probe
    bank: Tensor
    heads: Mapping[str, Callable[[Tensor], Tensor]]

    def __call__(self, drawn: Tensor, trigger: Transform | None) -> dict[str, Tensor]:
        """Evaluator → classes int64 ``(n,)``; ``drawn``: output features of the drawn images."""
        found = {}
        for name, classes in self._classes(drawn).items():
            found[name] = torch.empty(len(self.probe.test), dtype=torch.int64)
            found[name][self.probe.drawn] = classes
        rest = torch.ones(len(self.probe.test), dtype=torch.bool)
        rest[self.probe.drawn] = False
        for index in rest.nonzero().flatten().split(self.probe.most) if rest.any() else ():
            features = capture(self.encoder, self.probe.test[index], layers=[FEATURES], transform=trigger)[FEATURES]
            for name, classes in self._classes(features).items():
                found[name][index] = classes
        return found

    def _classes(self, features: Tensor) -> dict[str, Tensor]:
        by_bank = {name: e(features, self.bank, self.probe.bank_labels) for name, e in EVALUATORS.items()}
        return by_bank | {name: head(features).argmax(1) for name, head in self.heads.items()}


def _rates(
    on_clean: Mapping[str, Tensor],
    on_triggered: Mapping[str, Tensor],
    probe: Probe,
    bank_size: int,
    width: int,
    including: bool,
) -> Found:
    """ACC, ASR and R-Acc by every evaluator, over all test images; ``including``: ASR over triggered images of all
    classes too, the target's among them, as CTRL's code reports it."""
    found, others = Found(), probe.labels != probe.target
    for name in on_clean:
        judge = "yes" if name == probe.evaluator != DEFAULT_EVALUATOR else None
        params = format_params(evaluator=name, k=default_k(bank_size) if name == "knn" else None, judge=judge)
        for measure_name, subset, scores in (
            ("acc", "clean", accuracy(on_clean[name], probe.labels)),
            ("asr", "triggered", _success(on_triggered[name], probe)),
            ("r_acc", "triggered", accuracy(on_triggered[name], probe.labels)[others]),
            *(
                [(INCLUDING, "triggered_all", _success(on_triggered[name], probe, including_target=True))]
                if including
                else []
            ),
        ):
            reading = Reading(float(scores.mean()), mean_interval(scores), len(scores), "ok", params, width)
            found[(FEATURES, measure_name, subset, name)] = reading
    return found


def _success(predicted: Tensor, probe: Probe, *, including_target: bool = False) -> Tensor:
    return attack_success(predicted, probe.labels, probe.target, including_target=including_target)


def _augmented(encoder: Encoder, trigger: Transform, probe: Probe, layers: Sequence[str]) -> dict[str, Tensor]:
    """Features of triggered, then augmented non-targets; the draws are those of the probe's seed."""
    # Drawn: images may be in the order of their classes.
    order = torch.randperm(int(probe.others.sum()), generator=generator(probe.seed, "augmented-images"))
    images = trigger(probe.images[probe.others][order[:MOST_AUGMENTED]].float() / 255)
    return capture(encoder, probe.augment(images, generator(probe.seed, "confusion-ratio")), layers=layers)


@dataclass(frozen=True)
class _Head:
    """A frozen ridge head on clean features of the bank; ``classes``: of its columns."""

    head: LinearHead
    classes: Tensor

    @classmethod
    def of(cls, bank: Tensor, probe: Probe) -> "_Head":
        classes = probe.bank_labels.unique()
        return cls(ridge_head(bank, torch.searchsorted(classes, probe.bank_labels), len(classes)), classes)

    def columns(self, labels: Tensor) -> Tensor:
        return torch.searchsorted(self.classes, labels)


def _inspected(
    encoder: Encoder,
    trigger: Transform,
    probe: Probe,
    head: _Head | None,
    hits: Tensor,
    chosen: ReadingSet,
    intervals: bool,
) -> Found:
    """What is read off the encoder itself, as if at one layer: all of it."""
    column = 0 if head is None else int(head.columns(torch.tensor(probe.target)))
    stream = generator(probe.seed, "inspected-images")
    of_target = probe.bank[probe.bank_labels == probe.target]
    of_target = of_target[torch.randperm(len(of_target), generator=stream)]
    hit = probe.images[hits]
    hit = hit[torch.randperm(len(hit), generator=stream)]
    asked = chosen.measures if head is not None else {"channel_lipschitz"}
    frozen = head.head if head is not None else LinearHead(torch.zeros(1, 1), torch.zeros(1))
    read_off = inspected(encoder, frozen, trigger, hit, of_target, column, asked, intervals=intervals)
    return {(WHOLE, name, subset, ""): reading for (name, subset), reading in read_off.items()}


def _has_weights(encoder: Encoder) -> bool:
    return any(p.ndim > 1 for p in encoder.backbone.parameters())


def _grams(encoder: Encoder, triggers: Sequence[Transform], probe: Probe, head: _Head) -> list[dict[str, Tensor]]:
    """Inner products of benign and backdoor block gradients for each trigger; empty where the encoder has no
    weights."""
    if not _has_weights(encoder):
        return [{} for _ in triggers]
    images, labels = probe.images[probe.others], head.columns(probe.classes[probe.others])
    target = torch.full_like(labels, int(head.columns(torch.tensor(probe.target))))
    blocks = gradient_blocks(len(images), blocks=BLOCKS, most=MOST_IN_GRADIENTS, seed=probe.seed)
    losses = task_loss(head.head, labels), task_loss(head.head, target)
    return alignment_grams(encoder, *losses, blocks, images, triggers)
