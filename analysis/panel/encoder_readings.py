"""All readings of one encoder on the evaluation data, under one or several triggers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...probes.gradients import WHOLE
from ...probes.linear import LinearHead, ridge_head
from ...representations.capture import capture
from ...representations.encoders import FEATURES, Encoder
from ...representations.errors import InputError
from ...representations.evaluators import is_false_positive, is_hit
from ...representations.seeds import generator
from ..results.measures import INCLUDING
from ..results.reading import Reading, undefined
from .evaluation_data import EvaluationData, Transform
from .rates import Head, Predictor, confusion_readings, rate_readings
from .reading_sets import ReadingSet
from .readings import ERASURE, Features, read
from .readings.interference import INTERFERENCE, grams_of, images_of, interference_readings
from .readings.network import BY_NAME, NETWORK_READINGS, network_readings

__all__ = ["EncoderReadings", "Key", "KeyedReadings", "encoder_readings", "steps_of"]

Key = tuple[str, str, str, str]  # layer, measure, subset, evaluator ("" unless it is a rate)
KeyedReadings = dict[Key, Reading]

MOST_AUGMENTED = 500  # images behind the confusion ratio: a forward pass of their own
BANKED = frozenset({"confusion_ratio", *ERASURE})  # computed against the bank, at every layer


@dataclass(frozen=True)
class EncoderReadings:
    """The readings under one trigger.

    features, grams: features and inner products of block gradients by layer, for the references. hits: bool ``(n,)``,
    which of the drawn images are hits. confusion: where triggered images go, by class. predict: its evaluators.
    """

    readings: KeyedReadings
    features: dict[str, Features]
    grams: dict[str, Tensor]
    hits: Tensor
    confusion: dict[int, Reading] = field(default_factory=dict)
    predict: Predictor | None = None


def encoder_readings(
    encoder: Encoder,
    triggers: Sequence[Transform],
    layers: Sequence[str],
    data: EvaluationData,
    chosen: ReadingSet,
    *,
    hits: Tensor | None = None,
    heads: Mapping[str, Head] | None = None,
    intervals: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> list[EncoderReadings]:
    """Compute rates, the chosen readings by layer, and interference, for each trigger.

    Args:
        triggers: the data's own trigger first, then others of its kind.
        hits: bool ``(n,)``, which of ``data.images`` are hits; by default those under the *first* trigger.
        heads: name → native classifier on features.
        intervals: whether readings get intervals. Those under later triggers are references: they get none, and
            nothing that does not depend on the trigger is computed again.
        tick: called :func:`steps_of` times, as the work goes on.
    """
    wanted = tuple(dict.fromkeys([*layers, FEATURES]))  # the evaluators need the output
    bank = capture(encoder, data.bank, layers=wanted if BANKED & chosen.measures else (FEATURES,))
    clean = capture(encoder, data.images, layers=wanted)
    poisons, twins = (
        {} if x is None else capture(encoder, x, layers=wanted) for x in (data.poisons, data.poison_twins)
    )
    predict = Predictor(encoder, data, bank[FEATURES], heads or {})
    on_clean = predict(clean[FEATURES], None)
    false_positives = is_false_positive(on_clean[predict.decides][data.drawn], data.classes, data.target)
    tick()
    head = _RidgeHead.of(bank[FEATURES], data) if {*INTERFERENCE, *BY_NAME} & chosen.measures else None
    all_grams, too_few = None, ""
    if head and set(INTERFERENCE) & chosen.measures:
        try:
            all_grams = grams_of(encoder, triggers, data, head.head, head.classes)
        except InputError as error:  # too few images: a state of the data, not a mistake of the user
            too_few = str(error)
    tick()
    results = []
    for i, trigger in enumerate(triggers):
        triggered = capture(encoder, data.images, layers=wanted, transform=trigger)
        augmented = (
            _augmented(encoder, trigger, data, wanted)
            if "confusion_ratio" in chosen.measures
            else {layer: x[:0] for layer, x in clean.items()}
        )
        on_triggered = predict(triggered[FEATURES], trigger)
        including, width = INCLUDING in chosen.measures, clean[FEATURES].shape[1]
        readings: KeyedReadings = {
            (FEATURES, *key): reading
            for key, reading in rate_readings(on_clean, on_triggered, data, width, including=including).items()
        }
        if hits is None:
            without, with_it = (predicted[predict.decides][data.drawn] for predicted in (on_clean, on_triggered))
            hits = is_hit(without, with_it, data.classes, data.target)
        features = {
            layer: Features(
                *(clean[layer], triggered[layer], augmented[layer], data.classes, data.target, hits),
                *(bank.get(layer, clean[layer][:0]), data.bank_labels, data.seed, intervals and i == 0),
                false_positives=false_positives,
                poisons=poisons.get(layer),
                poison_twins=twins.get(layer),
            )
            for layer in layers
        }
        for layer, f in features.items():
            for (name, subset), reading in read(f, chosen.at(layer), trigger_only=i > 0).items():
                readings[(layer, name, subset, "")] = replace(reading, d=f.clean.shape[1])
            tick()
        if i == 0 and chosen.measures & set(NETWORK_READINGS) and _has_weights(encoder):
            readings |= _of_network(encoder, trigger, data, head, hits, chosen, intervals)
        grams = all_grams[i] if all_grams else {}
        used = images_of(data) if grams else 0
        for (layer, name), reading in interference_readings(grams, used, chosen.measures).items():
            readings[(layer, name, "clean", "")] = reading
        if too_few:
            nothing = undefined(too_few)
            readings |= {(WHOLE, name, "clean", ""): nothing for name in INTERFERENCE if name in chosen.measures}
        confusion = confusion_readings(on_triggered[predict.decides], data) if i == 0 else {}
        results.append(EncoderReadings(readings, features, grams, hits, confusion, predict))
    return results


def steps_of(triggers: int, layers: int) -> int:
    """Steps of :func:`encoder_readings`: activations, gradients, and each layer under each trigger."""
    return 2 + triggers * layers


def _augmented(encoder: Encoder, trigger: Transform, data: EvaluationData, layers: Sequence[str]) -> dict[str, Tensor]:
    """Features of triggered, then augmented, images of other classes, drawn by the data's seed."""
    # Drawn: images may be in the order of their classes.
    order = torch.randperm(int(data.others.sum()), generator=generator(data.seed, "augmented-images"))
    images = trigger(data.images[data.others][order[:MOST_AUGMENTED]].float() / 255)
    return capture(encoder, data.augment(images, generator(data.seed, "confusion-ratio")), layers=layers)


@dataclass(frozen=True)
class _RidgeHead:
    """A frozen ridge head on clean features of the bank. classes: the class of each column."""

    head: LinearHead
    classes: Tensor

    @classmethod
    def of(cls, bank: Tensor, data: EvaluationData) -> "_RidgeHead":
        classes = data.bank_labels.unique()
        return cls(ridge_head(bank, torch.searchsorted(classes, data.bank_labels), len(classes)), classes)

    def columns(self, labels: Tensor) -> Tensor:
        return torch.searchsorted(self.classes, labels)


def _of_network(
    encoder: Encoder,
    trigger: Transform,
    data: EvaluationData,
    head: _RidgeHead | None,
    hits: Tensor,
    chosen: ReadingSet,
    intervals: bool,
) -> KeyedReadings:
    """Readings of the network itself, under the layer ``"all"``."""
    column = 0 if head is None else int(head.columns(torch.tensor(data.target)))
    stream = generator(data.seed, "inspected-images")
    of_target = data.bank[data.bank_labels == data.target]
    of_target = of_target[torch.randperm(len(of_target), generator=stream)]
    hit = data.images[hits]
    hit = hit[torch.randperm(len(hit), generator=stream)]
    asked = chosen.measures if head is not None else {"channel_lipschitz"}
    frozen = head.head if head is not None else LinearHead(torch.zeros(1, 1), torch.zeros(1))
    read_off = network_readings(encoder, frozen, trigger, hit, of_target, column, asked, intervals=intervals)
    return {(WHOLE, name, subset, ""): reading for (name, subset), reading in read_off.items()}


def _has_weights(encoder: Encoder) -> bool:
    return any(p.ndim > 1 for p in encoder.backbone.parameters())
