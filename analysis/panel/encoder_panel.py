"""The panel: every reading of one encoder beside its references, as rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from ...probes.alignment import same_task
from ...probes.nulls import t_interval
from ...representations.encoders import FEATURES, Encoder, reinitialised, wrap
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...representations.similarity import CKAPairs
from ...training.augment import Augment
from ...training.triggers import Trigger, Variants
from ..results.measures import MEASURES
from ..results.table import COLUMNS, EVALUABLE, format_params, parse_params
from .encoder_readings import Found, Measured, Probe, Transform, asr_key, measure
from .reading_sets import RATES, ReadingSet, reading_set
from .readings import SMALLEST, Reading, cka_reading, read_nulls, undefined

__all__ = ["panel"]

RAW_PIXELS = 64


class _Table(NamedTuple):
    """Readings that share a reference. ``paired``: they compare this run with ``run_b``, and the last part of a key is
    the other run's layer."""

    reference: str
    found: Found
    run_b: str = ""
    paired: bool = False


def panel(
    encoder: Encoder,
    images: Tensor,
    labels: Tensor,
    trigger: Trigger | Transform,
    target: int,
    *,
    bank: tuple[Tensor, Tensor] | None = None,
    benign: Encoder | None = None,
    head: Callable[[Tensor], Tensor] | None = None,
    augment: Augment | None = None,
    readings: str | Sequence[str] | ReadingSet = "standard",
    layers: Sequence[str] | None = None,
    most: int = 2000,
    most_bank: int = 5000,
    evaluator: str = "knn",
    random_triggers: int = 3,
    poisons: int | None = None,
    run: str = "",
    arm: str = "",
    seed: int = 0,
    epoch: int | None = None,
    benign_run: str = "benign",
) -> pd.DataFrame:
    """Families A, B, C and E and the rates of one encoder, with references, intervals and status.

    Args:
        images: held-out clean images, uint8 ``(n, 3, H, W)``. labels: true classes, int64 ``(n,)``.
        trigger: float batch in [0, 1] → triggered batch. With a method ``variant(index)`` it gives the random-trigger
            reference.
        target: the backdoor's class.
        bank: clean labelled images and labels for the evaluators and heads, none of them in ``images``. By default
            half of ``images``, drawn by ``seed``, is set aside for it.
        benign twin: the same method's clean encoder: measured on the same images, trigger and hits.
        head: a native classifier, features → logits; ACC and ASR by it are given as an extra.
        augment: augmentation in the confusion ratio.
        readings: ``"standard"``, ``"cheap"`` (the output only, beside benign twin and mixed), names of measures, or
            a set of :mod:`intertwine.analysis.panel.reading_sets`.
        layers: layer names; by default those of the readings. Gradient alignment comes for all layers at once.
        random_triggers: how many stand for that reference.
        most, most_bank: rates are read off all images, everything else off ``most`` of them, and the evaluators see
            ``most_bank`` images of the bank (drawn by ``seed``): memory does not grow with the data.
        evaluator: ``knn`` or ``ridge``: which of the two decides hits, and whether the backdoor works. Rates are given
            by both.
        poisons: poison count of the training set, for the record beside ASR.
        run, arm, seed, epoch, benign_run: what the rows say of themselves; ``seed`` also drives every random draw.

    Returns:
        Rows (see :mod:`.results.table`). Without a benign twin its rows are missing, and "evaluable" is judged by
        the ASR of the random-init reference. (Not by that of random triggers: an encoder may well answer to any noise.)

    Raises:
        InputError: shapes, a target that is not among the labels, unknown layers, activations that are not finite.
    """
    if not isinstance(encoder, Encoder):
        raise InputError(
            f"encoder: expected an Encoder (see intertwine.representations.wrap), received {type(encoder).__name__}"
        )
    chosen = reading_set(readings)
    probe = _probe(images, labels, target, bank, augment, seed, most, most_bank, evaluator)
    if layers is None:
        layers = encoder.layers if chosen.layers is None else chosen.layers
    if not layers:
        raise InputError(f"layers: expected some of {', '.join(encoder.layers)}, received none")
    with _threads_for(encoder, len(probe.images)):
        tables = _tables(encoder, trigger, tuple(layers), probe, chosen, benign, head, random_triggers, benign_run)
    evaluable = tables[0].found[asr_key(evaluator)].value - _benign_asr(tables, evaluator) >= EVALUABLE
    return _to_rows(tables, evaluable, poisons, {"run": run, "arm": arm, "seed": seed, "epoch": epoch})


def _tables(
    encoder: Encoder,
    trigger: Trigger | Transform,
    layers: Sequence[str],
    probe: Probe,
    chosen: ReadingSet,
    benign: Encoder | None,
    head: Callable[[Tensor], Tensor] | None,
    random_triggers: int,
    benign_run: str,
) -> list[_Table]:
    """The readings and every reference; the readings come first."""
    count = random_triggers if "random-trigger" in chosen.references else 0
    random = [trigger.variant(i) for i in range(count)] if isinstance(trigger, Variants) else []
    heads = {"head": head} if head else {}
    main, *under_random = measure(encoder, [trigger, *random], layers, probe, chosen, heads=heads)
    hits = main.hits
    tables = [_Table("", main.found), *_ends(main, probe, chosen)]
    if benign is not None:
        shared = [layer for layer in layers if layer in benign.layers]
        clean = measure(benign, [trigger], shared, probe, chosen, hits=hits)[0]
        tables.append(_Table("benign", clean.found, benign_run))
        if "cka" in chosen.measures:
            tables.append(_Table("", _across(main, clean, probe), benign_run, paired=True))
    if under_random:
        tables.append(_Table("random-trigger", _mean_over_triggers([m.found for m in under_random])))
    if "random-init" in chosen.references or benign is None:
        # Without a benign twin its ASR decides what is evaluable, whatever else is read.
        what = chosen if "random-init" in chosen.references else ReadingSet(frozenset(RATES))
        fresh = reinitialised(encoder, seed=probe.seed)
        at = layers if what is chosen else ()
        untrained = measure(fresh, [trigger], at, probe, what, hits=hits, intervals=False)[0]
        tables.append(_Table("random-init", untrained.found))
    if "raw-pixels" in chosen.references:
        large = max(probe.images.shape[-2:]) > RAW_PIXELS
        # An encoder that only flattens; of large images their means over a grid of 64 × 64.
        flat = wrap(nn.Sequential(nn.AdaptiveAvgPool2d(RAW_PIXELS), nn.Flatten()) if large else nn.Flatten())
        pixels = measure(flat, [trigger], [FEATURES], probe, chosen, hits=hits, intervals=False)[0]
        tables.append(_Table("raw-pixels", pixels.found))
    return tables


@contextmanager
def _threads_for(encoder: Encoder, images: int) -> Iterator[None]:
    """One thread for a small network and few images: the panel is then thousands of small products, and waking a
    second thread for each costs more than it does (digits network: the same wall time, half the CPU time, and no
    stalls when the other core is busy)."""
    before = torch.get_num_threads()
    if images <= 1000 and sum(p.numel() for p in encoder.parameters()) < 1_000_000:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _probe(
    images: Tensor,
    labels: Tensor,
    target: int,
    bank: tuple[Tensor, Tensor] | None,
    augment: Augment | None,
    seed: int,
    most: int,
    most_bank: int,
    evaluator: str,
) -> Probe:
    if bank is None:
        order = torch.randperm(len(images), generator=generator(seed, "bank"))
        mine, rest = order.tensor_split(2)
        bank, images, labels = (images[mine], labels[mine]), images[rest], labels[rest]
    return Probe(images, labels, *bank, target, augment or Augment(), seed, most, most_bank, evaluator)


def _ends(main: Measured, probe: Probe, chosen: ReadingSet) -> list[_Table]:
    """The fully intertwined end of every reading, and the nulls that belong to one measure."""
    tables: dict[str, Found] = {"together": {}}
    for layer, features in main.features.items():
        for (name, subset, reference), reading in read_nulls(features, chosen.at(layer)).items():
            tables.setdefault(reference, {})[(layer, name, subset, "")] = reading
    for layer, gram in main.grams.items():
        end = same_task(gram, seed=probe.seed)
        # Its expectation is exactly 1; the draws say what a 1 looks like through this noise.
        n = main.found[(layer, "gradient_alignment", "clean_other", "")].n
        reading = Reading(1.0, end.interval, n, end.status, "note=by permutation")
        tables["together"][(layer, "gradient_alignment", "clean_other", "")] = reading
    return [_Table(reference, found) for reference, found in tables.items()]


def _across(main: Measured, other: Measured, probe: Probe) -> Found:
    """CKA with another encoder, all pairs of layers, on clean and on triggered images apart: a mixture of both would be
    ruled by the shift that they do not share. Pairs of one layer with itself carry an interval."""
    found: Found = {}
    for subset in ("clean_other", "triggered", "clean_target", "triggered_target"):
        a = {layer: f.points(subset) for layer, f in main.features.items()}
        b = {layer: f.points(subset) for layer, f in other.features.items()}
        n = len(next(iter(b.values())))
        if n < SMALLEST:
            nothing = undefined(f"expected at least {SMALLEST} images in {subset}, received {n}")
            found |= {(layer, "cka", subset, other_layer): nothing for layer in a for other_layer in b}
            continue
        matrix = CKAPairs().update(a, b).compute()
        for i, layer in enumerate(a):
            for j, layer_b in enumerate(b):
                reading = Reading(float(matrix.values[i, j]), n=n)
                if layer == layer_b:
                    reading = cka_reading(a[layer], b[layer], probe.seed)
                if reading.value != reading.value:
                    reading = undefined("the value is not a number: a layer does not vary")
                found[(layer, "cka", subset, layer_b)] = replace(reading, d=a[layer].shape[1])
    return found


def _mean_over_triggers(all_found: list[Found]) -> Found:
    """Mean of each reading over the random triggers, with Student's interval over them."""
    averaged: Found = {}
    for key, first in all_found[0].items():
        usable = [f[key] for f in all_found if f[key].status == "ok"]
        if not usable:
            averaged[key] = first
            continue
        values = torch.tensor([r.value for r in usable], dtype=torch.float64)
        patterns = f"patterns={len(usable)}" + (f" of {len(all_found)}" if len(usable) < len(all_found) else "")
        told = parse_params(first.params)
        params = format_params(evaluator=key[3] or None, judge=told.get("judge"))
        params = ";".join(p for p in (params, patterns) if p)
        averaged[key] = Reading(float(values.mean()), t_interval(values), usable[0].n, "ok", params, usable[0].d)
    return averaged


def _benign_asr(tables: list[_Table], evaluator: str) -> float:
    asr = asr_key(evaluator)
    by_reference = {t.reference: t.found[asr].value for t in tables if t.reference and asr in t.found}
    return by_reference["benign"] if "benign" in by_reference else by_reference["random-init"]


def _to_rows(tables: list[_Table], evaluable: bool, poisons: int | None, about: dict[str, object]) -> pd.DataFrame:
    rows = []
    for table in tables:
        for (layer, name, subset, detail), r in table.found.items():
            own = table.reference == "" and not table.paired
            # A backdoor that failed looks "independent": no reading of it may pass for evidence.
            failed = own and not evaluable and MEASURES[name].family in "BCD" and r.status != "undefined"
            params = f"{r.params};poisons={poisons}" if own and name == "asr" and poisons is not None else r.params
            rows.append(
                about
                | {"layer": layer, "subset": subset, "measure": name, "reference": table.reference}
                | {"value": r.value, "ci_low": r.interval[0], "ci_high": r.interval[1], "n": r.n, "d": r.d or None}
                | {"run_b": table.run_b, "layer_b": detail if table.paired else "", "x": None, "params": params}
                | {"status": "not_evaluable" if failed else r.status}
            )
    return pd.DataFrame(rows, columns=COLUMNS)
