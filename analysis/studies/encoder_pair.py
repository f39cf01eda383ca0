"""Two encoders side by side: what their geometry is, and how alike their layers are, on the same images."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...representations.capture import capture
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.data import ImageSet
from ..panel import PanelOptions, ReadingSet
from ..panel.layer_pairs import cka_of_layers
from ..panel.readings import ENTRIES, Features, read
from ..results.measures import IS_BACKDOORED, RATES
from ..results.row import RunLabel, build_row, table_of
from ..runs.foreign_encoder import measure_foreign
from ..runs.foreign_run import ForeignRun
from ..runs.measurement import measure_run
from ..runs.run import Run

__all__ = ["GEOMETRY", "common_images", "pair_rows", "resized"]

GEOMETRY = ("effective_rank", "spectrum_decay", "two_nn", "purity", "fisher_ratio", "nc1", "nc2", "uniformity")
"""Readings of clean images alone: dimensions, neighbours and classes."""

Loaded = Run | ForeignRun


def common_images(a: Loaded, b: Loaded, most: int = PanelOptions.images) -> tuple[ImageSet, str]:
    """Held-out images of ``a`` (or else of ``b``) that neither encoder was trained on, and a sentence on them.

    Raises:
        InputError: neither has data, or no image is held out for both.
    """
    first, other = (a, b) if a.data is not None else (b, a)
    if first.data is None:
        raise InputError("data: expected images to compare the encoders on, received none")
    test, what = first.data, f"held-out images of {first.data.name}"
    if other.bank is not None:
        seen = {x.numpy().tobytes() for x in resized(other.bank.images, first.image_size)}
        unseen = torch.tensor([x.numpy().tobytes() not in seen for x in test.images])
        if not unseen.any():
            raise InputError(f"data: expected images held out for {a.name} and {b.name}, received none")
        if not unseen.all():
            what += f" that {other.name} was not trained on"
            test = test.subset(unseen)
    if len(test) > most:
        drawn = torch.randperm(len(test), generator=generator(first.seed, "held-out"))[:most].sort().values
        test = test.subset(drawn)
    return test, f"{len(test):,} clean {what}"


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 images as squares of that side, rounded."""
    if images.shape[-1] == size:
        return images
    real = interpolate(images.float() / 255, (size, size), mode="bilinear", antialias=True)
    return (real * 255).round().to(torch.uint8)


def pair_rows(
    a: Loaded,
    b: Loaded,
    images: ImageSet,
    names: tuple[str, str],
    *,
    readings: Sequence[str] = GEOMETRY,
    layers: Sequence[str] | None = None,
    options: PanelOptions | None = None,
) -> pd.DataFrame:
    """The readings of both encoders on clean images, CKA of all pairs of their layers, and the rates of those that have
    a trigger.

    Args:
        images: the same for both, in the size of ``a``; of :func:`common_images`.
        names: of the encoders in the rows. readings: measures that need no trigger.
        layers: those of either encoder to read; all by default. options: of the rates, which are on own images.

    Raises:
        InputError: unknown readings or layers.
    """
    known = [name for entry in ENTRIES if "clean" in entry.subsets for name in entry.measures]
    if unknown := [name for name in readings if name not in known]:
        raise InputError(f"readings: expected some of {', '.join(known)}, received {', '.join(unknown)}")
    rows: list[dict[str, object]] = []
    features: list[dict[str, Tensor]] = []
    for run, name in zip((a, b), names, strict=True):
        of_layers = _features(run, images, layers)
        features.append({layer: f.clean for layer, f in of_layers.items()})
        for layer, f in of_layers.items():
            for (measure, subset), reading in read(f, readings, subsets=["clean"]).items():
                where = {"layer": layer, "subset": subset, "measure": measure}
                rows.append(build_row(_label(run, name), replace(reading, d=f.clean.shape[1]), **where))
    for (layer, other), reading in cka_of_layers(features[0], features[1], a.seed, "clean").items():
        where = {"layer": layer, "subset": "clean", "measure": "cka", "other_layer": other, "other_run": names[1]}
        rows.append(build_row(_label(a, names[0]), reading, kind="pair", **where))
    rates = [_rates(run, name, options) for run, name in zip((a, b), names, strict=True) if run.trigger is not None]
    return pd.concat([table_of(rows), *rates], ignore_index=True)


def _label(run: Loaded, name: str) -> RunLabel:
    return replace(run.label, run=name) if isinstance(run, Run) else RunLabel(name, run.arm, run.seed)


def _features(run: Loaded, images: ImageSet, layers: Sequence[str] | None) -> dict[str, Features]:
    chosen = [layer for layer in run.encoder.layers if layers is None or layer in layers]
    if not chosen:
        raise InputError(
            f"layers: expected some of {', '.join(run.encoder.layers)}, received {', '.join(layers or ())}"
        )
    found = capture(run.encoder, resized(images.images, run.image_size), layers=chosen)
    none = torch.zeros(len(images), dtype=torch.bool)
    return {
        layer: Features(x, x, x[:0], images.labels, -1, none, x[:0], images.labels[:0], run.seed)
        for layer, x in found.items()
    }


def _rates(run: Loaded, name: str, options: PanelOptions | None) -> pd.DataFrame:
    """ACC, ASR and R-Acc beside the benign twin's, on the encoder's own held-out images."""
    only = ReadingSet(frozenset(RATES), references=frozenset({"benign"}), layers=(FEATURES,))
    chosen = replace(options or PanelOptions(), readings=only, layers=None)
    rows = measure_run(run, run.twin, chosen) if isinstance(run, Run) else measure_foreign(run, chosen)
    rows = rows[rows["measure"].isin([*RATES, IS_BACKDOORED])]
    return rows.assign(run=name)
