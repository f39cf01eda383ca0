"""Show one encoder the held-out images under one or several triggers, and read everything off it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..probes.gradients import align, block_gradients, gradient_blocks, gram_matrices, task_loss
from ..probes.linear import ridge_head
from ..probes.nulls import mean_interval
from ..representations.capture import capture
from ..representations.encoders import FEATURES, Encoder
from ..representations.errors import InputError
from ..representations.evaluate import EVALUATORS, accuracy, attack_success, default_k
from ..representations.seeds import generator
from ..training.augment import Augment
from .readings import Features, Reading, readings
from .rows import format_params

__all__ = ["ASR", "Found", "Key", "Measured", "Probe", "Transform", "alignment_reading", "measure"]

Transform = Callable[[Tensor], Tensor]
Key = tuple[str, str, str, str]  # layer, measure, subset, evaluator ("" unless it is a rate)
Found = dict[Key, Reading]
ASR: Key = (FEATURES, "asr", "P", "knn")


@dataclass(frozen=True)
class Probe:
    """What every encoder of a panel is shown: ``test`` (uint8 ``(n, 3, H, W)``) with ``labels``, and a labelled clean
    ``bank``."""

    test: Tensor
    labels: Tensor
    bank: Tensor
    bank_labels: Tensor
    target: int
    augment: Augment = field(default_factory=Augment)
    seed: int = 0

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

    @property
    def others(self) -> Tensor:
        return self.labels != self.target


@dataclass(frozen=True)
class Measured:
    """What was read under one trigger; ``features`` by layer and ``grams`` of block gradients are kept for the
    references."""

    found: Found
    features: dict[str, Features]
    grams: dict[str, Tensor]


def measure(
    encoder: Encoder,
    triggers: Sequence[Transform],
    layers: Sequence[str],
    probe: Probe,
    *,
    hits: Tensor | None = None,
    heads: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> list[Measured]:
    """Rates, readings of families A, B and E by layer, and gradient alignment, once a trigger.

    Args:
        hits: P⁺, bool ``(n,)``; by default what the kNN evaluator sends to the target under the *first* trigger.
        heads: name → native classifier on features, for the rates only.
    """
    wanted = tuple(dict.fromkeys([*layers, FEATURES]))  # the evaluators need the tap
    bank = capture(encoder, probe.bank, layers=wanted)
    clean = capture(encoder, probe.test, layers=wanted)
    all_grams = _grams(encoder, triggers, probe, bank[FEATURES])
    results = []
    for trigger, grams in zip(triggers, all_grams, strict=True):
        triggered = capture(encoder, probe.test, layers=wanted, transform=trigger)
        augmented = _augmented(encoder, trigger, probe, wanted)
        rates, predicted_target = _rates(clean[FEATURES], triggered[FEATURES], bank[FEATURES], probe, heads or {})
        hits = predicted_target if hits is None else hits
        features = {
            layer: Features(
                *(clean[layer], triggered[layer], augmented[layer], probe.labels, probe.target, hits),
                *(bank[layer], probe.bank_labels),
            )
            for layer in wanted
        }
        found = dict(rates)
        for layer in layers:
            width = clean[layer].shape[1]
            read = readings(features[layer], seed=probe.seed)
            found |= {(layer, *key, ""): replace(r, d=width) for key, r in read.items()}
        for layer, gram in grams.items():
            found[(layer, "gradient_alignment", "C_o", "")] = alignment_reading(gram, int(probe.others.sum()))
        results.append(Measured(found, {layer: features[layer] for layer in layers}, grams))
    return results


def alignment_reading(gram: Tensor, n: int) -> Reading:
    a = align(gram)
    params = format_params(naive=a.naive, norm_benign=a.norm_g, norm_backdoor=a.norm_h, blocks=len(gram) // 2)
    return Reading(a.value, a.interval, n, a.status, params)


def _rates(
    clean: Tensor, triggered: Tensor, bank: Tensor, probe: Probe, heads: Mapping[str, Callable[[Tensor], Tensor]]
) -> tuple[Found, Tensor]:
    """ACC, ASR and R-Acc by every evaluator, and P⁺ by the first of them, kNN."""
    others, found, hits = probe.others, Found(), None
    both = torch.cat([clean, triggered])
    predictions = {name: evaluator(both, bank, probe.bank_labels) for name, evaluator in EVALUATORS.items()}
    predictions |= {name: head(both).argmax(1) for name, head in heads.items()}
    for name, predicted in predictions.items():
        on_clean, on_triggered = predicted.split([len(clean), len(triggered)])
        if hits is None:
            hits = (on_triggered == probe.target) & others
        params = format_params(evaluator=name, k=default_k(len(bank)) if name == "knn" else None)
        for measure_name, subset, scores in (
            ("acc", "C", accuracy(on_clean, probe.labels)),
            ("asr", "P", attack_success(on_triggered, probe.labels, probe.target)),
            ("r_acc", "P", accuracy(on_triggered, probe.labels)[others]),
        ):
            reading = Reading(float(scores.mean()), mean_interval(scores), len(scores), "ok", params, clean.shape[1])
            found[(FEATURES, measure_name, subset, name)] = reading
    assert hits is not None  # EVALUATORS is not empty
    return found, hits


def _augmented(encoder: Encoder, trigger: Transform, probe: Probe, layers: Sequence[str]) -> dict[str, Tensor]:
    """Features of triggered, then augmented non-targets; the draws are those of the probe's seed."""
    images = trigger(probe.test[probe.others].float() / 255)
    return capture(encoder, probe.augment(images, generator(probe.seed, "confusion-ratio")), layers=layers)


def _grams(encoder: Encoder, triggers: Sequence[Transform], probe: Probe, bank: Tensor) -> list[dict[str, Tensor]]:
    """Inner products of benign and backdoor block gradients for each trigger; empty where the encoder has no
    weights."""
    if not any(p.ndim > 1 for p in encoder.backbone.parameters()):
        return [{} for _ in triggers]
    classes = probe.bank_labels.unique()
    codes = torch.searchsorted(classes, probe.bank_labels)
    head = ridge_head(bank, codes, len(classes))
    images, labels = probe.test[probe.others], torch.searchsorted(classes, probe.labels[probe.others])
    target = torch.full_like(labels, int(torch.searchsorted(classes, torch.tensor(probe.target))))
    blocks = gradient_blocks(len(images), seed=probe.seed)
    benign = block_gradients(encoder, task_loss(head, labels), blocks, images)
    return [
        gram_matrices(benign, block_gradients(encoder, task_loss(head, target), blocks, images, transform=trigger))
        for trigger in triggers
    ]
