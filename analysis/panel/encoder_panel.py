"""The panel: every reading of one encoder beside its references, as rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from ...probes.nulls import t_interval
from ...representations.encoders import FEATURES, Encoder, reinitialised, wrap
from ...representations.errors import InputError
from ...training.augment import Augment
from ...training.triggers import Trigger, Variants
from ..results.measures import MIDDLE, RATES
from ..results.reading import Reading
from ..results.row import RunLabel
from ..results.schema import DEFAULT_EVALUATOR, NATIVE
from .encoder_readings import EncoderReadings, KeyedReadings, encoder_readings
from .evaluation_data import EvaluationData, Transform, evaluation_data
from .layer_pairs import cka_of_layers
from .options import PanelOptions
from .rates import Head
from .reading_sets import ReadingSet, reading_set
from .readings import read_nulls
from .readings.interference import STEP, ends
from .readings.interventions import MEDIATION, intervention_readings
from .tables import Table, backdoored, reference_asr, to_rows

__all__ = ["panel"]

RAW_PIXELS = 64


def panel(
    encoder: Encoder,
    images: Tensor,
    labels: Tensor,
    trigger: Trigger | Transform,
    target: int,
    *,
    bank: tuple[Tensor, Tensor] | None = None,
    benign: Encoder | None = None,
    head: Head | None = None,
    benign_head: Head | None = None,
    augment: Augment | None = None,
    options: PanelOptions | None = None,
    poisons: tuple[Tensor, Tensor] | None = None,
    label: RunLabel | None = None,
    benign_run: str = "benign",
) -> pd.DataFrame:
    """Compute the rates and families A, B, C and E of one encoder, with references, intervals and status.

    Args:
        images: held-out clean images, uint8 ``(n, 3, H, W)``. labels: true classes, int64 ``(n,)``.
        trigger: float batch in [0, 1] → triggered batch. The ``random-trigger`` reference needs its method
            ``variant(index)``.
        target: the target class of the backdoor.
        bank: clean images and labels for evaluators and heads, none of them in ``images``. By default half of
            ``images``, drawn by the seed, is the bank.
        benign: the encoder of the benign twin, measured on the same images, trigger and hits.
        head, benign_head: native classifiers of both encoders, features → scores. By default they decide hits.
        augment: augmentation in the confusion ratio.
        options: what to compute, and from how many images.
        poisons: poisoned training images with the trigger, and clean training images of the class that they are bound
            to, for the readings of ``poisons``.
        label, benign_run: names of the run and of its benign twin in the rows.

    Returns:
        Rows (see :mod:`intertwine.analysis.results.schema`). Whether the encoder is ``backdoored`` is one of them. Its
        ASR is compared with that of the benign twin, or else with that of random weights. (That of random triggers
        would not do: an encoder may respond to any noise.)

    Raises:
        InputError: wrong shapes, a target that is not among the labels, unknown layers, activations that are not
            finite.
    """
    if not isinstance(encoder, Encoder):
        raise InputError(
            f"encoder: expected an Encoder (see intertwine.representations.wrap), received {type(encoder).__name__}"
        )
    options = options or PanelOptions()
    if options.evaluator == NATIVE and head is None:
        options = replace(options, evaluator=DEFAULT_EVALUATOR)
    chosen = reading_set(options.readings)
    data = evaluation_data(images, labels, trigger, target, options, bank=bank, augment=augment, poisons=poisons)
    layers = options.layers
    if layers is None:
        layers = encoder.layers if chosen.layers is None else chosen.layers
    if not layers:
        raise InputError(f"layers: expected some of {', '.join(encoder.layers)}, received none")
    heads = [{} if h is None else {NATIVE: h} for h in (head, benign_head)]
    with _threads_for(encoder, len(data.images)):
        tables, hits = _tables(encoder, tuple(layers), data, chosen, benign, heads, options.random_triggers, benign_run)
    tables[0].readings[(FEATURES, "backdoored", "triggered", "")] = backdoored(tables)
    count = None if poisons is None else len(poisons[0])
    return to_rows(tables, hits, count, label or RunLabel(seed=options.seed), data.evaluator)


def _tables(
    encoder: Encoder,
    layers: Sequence[str],
    data: EvaluationData,
    chosen: ReadingSet,
    benign: Encoder | None,
    heads: Sequence[Mapping[str, Head]],
    random_triggers: int,
    benign_run: str,
) -> tuple[list[Table], int]:
    """The readings, then those of every reference; and the number of hits."""
    trigger = data.trigger
    count = random_triggers if "random-trigger" in chosen.references else 0
    random = [trigger.variant(i) for i in range(count)] if isinstance(trigger, Variants) else []
    main, *under_random = encoder_readings(encoder, [trigger, *random], layers, data, chosen, heads=heads[0])
    hits = main.hits
    tables = [Table("", main.readings, confusion=main.confusion, evaluator=_decides(main)), *_ends(main, data, chosen)]
    clean = None
    if benign is not None:
        shared = [layer for layer in layers if layer in benign.layers]
        clean = encoder_readings(benign, [trigger], shared, data, chosen, hits=hits, heads=heads[1])[0]
        tables.append(Table("benign", clean.readings, benign_run, False, clean.confusion, _decides(clean)))
        if "cka" in chosen.measures:
            tables.append(Table("", _across(main, clean, data), benign_run, paired=True))
    if under_random:
        tables.append(Table("random-trigger", _mean_over_triggers([m.readings for m in under_random])))
    if "random-init" in chosen.references or benign is None:
        # Without a benign twin, its ASR decides whether the encoder is backdoored.
        what = chosen if "random-init" in chosen.references else ReadingSet(frozenset(RATES))
        fresh = reinitialised(encoder, seed=data.seed)
        at = layers if what is chosen else ()
        untrained = encoder_readings(fresh, [trigger], at, data, what, hits=hits, intervals=False)[0]
        tables.append(Table("random-init", untrained.readings))
    if "raw-pixels" in chosen.references:
        large = max(data.images.shape[-2:]) > RAW_PIXELS
        # An encoder that only flattens. Large images are averaged over a grid of 64 × 64 first.
        flat = wrap(nn.Sequential(nn.AdaptiveAvgPool2d(RAW_PIXELS), nn.Flatten()) if large else nn.Flatten())
        pixels = encoder_readings(flat, [trigger], [FEATURES], data, chosen, hits=hits, intervals=False)[0]
        tables.append(Table("raw-pixels", pixels.readings))
    return [*tables, *_interventions(encoder, layers, data, chosen, main, benign, clean, tables)], int(hits.sum())


def _decides(found: EncoderReadings) -> str:
    return found.predict.decides if found.predict else ""


def _interventions(
    encoder: Encoder,
    layers: Sequence[str],
    data: EvaluationData,
    chosen: ReadingSet,
    main: EncoderReadings,
    benign: Encoder | None,
    clean: EncoderReadings | None,
    tables: Sequence[Table],
) -> list[Table]:
    """Interventions at the layers asked for; where those are the output only, at the middle layer too.

    Of the benign twin, mediation alone, on the same hits: it has no backdoor whose removal could cost a class.
    """
    assert main.predict is not None
    inner = encoder.layers[:-1]
    middle = MIDDLE if MIDDLE in inner or not inner else inner[len(inner) // 2]
    at = layers if set(layers) & set(inner) or not inner else [middle, *layers]
    rate = reference_asr(tables, main.predict.decides)
    found: dict[str, KeyedReadings] = {}
    for (layer, name, subset, reference), reading in intervention_readings(
        encoder, at, data, main.hits, main.predict.by_deciding, rate, chosen.measures
    ).items():
        found.setdefault(reference, {})[(layer, name, subset, "")] = reading
    twin = next((t for t in tables if t.reference == "benign"), None)
    if benign is not None and clean is not None and clean.predict is not None and twin is not None:
        shared = [layer for layer in at if layer in benign.layers]
        for (layer, name, subset, reference), reading in intervention_readings(
            benign, shared, data, main.hits, clean.predict.by_deciding, rate, chosen.measures & set(MEDIATION)
        ).items():
            if not reference:
                twin.readings[(layer, name, subset, "")] = reading
    return [Table(reference, readings) for reference, readings in found.items()]


@contextmanager
def _threads_for(encoder: Encoder, images: int) -> Iterator[None]:
    """Use one thread for a small network and few images.

    The panel is then thousands of small products, and a second thread costs more than it saves. (Digits network: the
    same wall time, half the CPU time, and no stalls when the other core is busy.)
    """
    before = torch.get_num_threads()
    if images <= 1000 and sum(p.numel() for p in encoder.parameters()) < 1_000_000:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ends(main: EncoderReadings, data: EvaluationData, chosen: ReadingSet) -> list[Table]:
    """Both ends of the readings of features and of interference, and the references of single measures."""
    tables: dict[str, KeyedReadings] = {"together": {}}
    for layer, features in main.features.items():
        for (name, subset, reference), reading in read_nulls(features, chosen.at(layer)).items():
            tables.setdefault(reference, {})[(layer, name, subset, "")] = reading
    for layer, gram in main.grams.items() if "interference" in chosen.measures else ():
        if layer == STEP:
            continue
        n = main.readings[(layer, "interference", "clean", "")].n
        for reference, end in ends(gram, n, data.seed).items():
            tables.setdefault(reference, {})[(layer, "interference", "clean", "")] = end
    return [Table(reference, readings) for reference, readings in tables.items()]


def _across(main: EncoderReadings, other: EncoderReadings, data: EvaluationData) -> KeyedReadings:
    """CKA with another encoder for all pairs of layers, on clean and on triggered images separately.

    On both together, the shift between them would dominate. Pairs of a layer with itself have an interval.
    """
    readings: KeyedReadings = {}
    for subset in ("clean_other", "triggered", "clean_target", "triggered_target"):
        a, b = ({layer: f.points(subset) for layer, f in x.features.items()} for x in (main, other))
        found = cka_of_layers(a, b, data.seed, subset)
        readings |= {(layer, "cka", subset, other_layer): r for (layer, other_layer), r in found.items()}
    return readings


def _mean_over_triggers(of_each: list[KeyedReadings]) -> KeyedReadings:
    """Mean of each reading over the random triggers, with Student's interval."""
    averaged: KeyedReadings = {}
    for key, first in of_each[0].items():
        usable = [readings[key] for readings in of_each if readings[key].status == "ok"]
        if not usable:
            averaged[key] = first
            continue
        values = torch.tensor([r.value for r in usable], dtype=torch.float64)
        note = f"mean of {len(usable)} patterns" + (f" of {len(of_each)}" if len(usable) < len(of_each) else "")
        averaged[key] = Reading(float(values.mean()), t_interval(values), usable[0].n, "ok", note, usable[0].d)
    return averaged
