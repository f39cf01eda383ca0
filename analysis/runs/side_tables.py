"""Side tables: what figures need of a run beside its rows, and the tables of several runs as one."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...checkpoints.files import atomic_write
from ...representations.capture import capture
from ...representations.embedding import pca, umap
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS, is_hit
from ...representations.seeds import generator
from ...representations.similarity import cka_layers
from ...training.data import ImageSet
from ..panel import PanelOptions
from ..results.schema import DEFAULT_EVALUATOR, NATIVE
from ..results.table import read_rows, write_rows
from .foreign_run import ForeignRun
from .run import Run, about_run, native_head

__all__ = [
    "embed_run",
    "gather",
    "layer_cka",
    "save_gallery",
    "save_thumbnails",
    "shown_images",
    "spectrum_of",
    "thumbnails_of",
    "write_table",
]

Loaded = Run | ForeignRun

ROWS, HISTORY, EMBEDDING, GALLERY = "rows.csv", "history.csv", "embedding.csv", "triggers.npz"
THUMBNAILS, SPECTRUM, LAYER_CKA = "thumbnails.npz", "spectrum.csv", "layer_cka.csv"


def embed_run(
    run: Loaded, *, most: int = PanelOptions.images, evaluator: str = PanelOptions.evaluator, nonlinear: bool = True
) -> pd.DataFrame:
    """Embedding of clean and triggered held-out images, one image a line.

    ``x``, ``y``: UMAP of the output; its principal components, which take no time, unless ``nonlinear``. ``x_LAYER``,
    ``y_LAYER``: the first two principal components of a layer. ``hit``: whether the evaluator sends a triggered image
    to the target. most: largest number of images, drawn by the run's seed. Without a trigger all images are clean, and
    the target is -1.
    """
    test, others = shown_images(run, most=most)
    both = capture(run.encoder, test.images)
    hit = torch.zeros(len(test), dtype=torch.bool)
    if len(others):
        assert run.target is not None
        triggered = capture(run.encoder, test.images[others], transform=run.trigger)
        classify = _classifier(run, evaluator)
        without, with_it = (classify(x) for x in (both[FEATURES][others], triggered[FEATURES]))
        hit = torch.cat([hit, is_hit(without, with_it, test.labels[others], run.target)])
        both = {layer: torch.cat([x, triggered[layer]]) for layer, x in both.items()}
    points = umap(both[FEATURES], seed=run.seed) if nonlinear else pca(both[FEATURES])
    image = torch.cat([torch.arange(len(test)), others])
    components = {layer: pca(x).float().numpy() for layer, x in both.items()}
    return pd.DataFrame(
        {
            "run": run.name,
            "arm": run.arm,
            "seed": run.seed,
            "image": image,
            "label": test.labels[image],
            "class_name": [test.classes[i] for i in test.labels[image].tolist()],
            "triggered": torch.arange(len(image)) >= len(test),
            "target": -1 if run.target is None else run.target,
            "hit": hit,
            "x": points[:, 0],
            "y": points[:, 1],
            **{f"{axis}_{layer}": xy[:, i] for layer, xy in components.items() for i, axis in enumerate("xy")},
        }
    )


def _classifier(run: Loaded, evaluator: str) -> Callable[[Tensor], Tensor]:
    """Features → classes by an evaluator; by kNN where a native head is asked for and there is none."""
    if evaluator == NATIVE and isinstance(run, Run):
        head = native_head(run)
        return lambda features: head(features).argmax(1)
    assert run.bank is not None
    labels = run.bank.labels
    bank = capture(run.encoder, run.bank.images, layers=[FEATURES])[FEATURES]
    known = EVALUATORS[DEFAULT_EVALUATOR if evaluator == NATIVE else evaluator]
    return lambda features: known(features, bank, labels)


def _held_out(run: Loaded) -> ImageSet:
    if run.data is None:
        raise InputError(f"data: expected images for {run.name}, received none")
    return run.data


def shown_images(run: Loaded, *, most: int = PanelOptions.images) -> tuple[ImageSet, Tensor]:
    """The held-out images of embeddings, and the indices, int64, of those of other classes than the target.

    The latter are also embedded with the trigger; they are none where there is no trigger.
    """
    test = _held_out(run)
    if len(test) > most:
        stream = generator(run.seed, "embedding")
        test = test.subset(torch.randperm(len(test), generator=stream)[:most].sort().values)
    if run.trigger is None:
        return test, torch.empty(0, dtype=torch.int64)
    return test, torch.ne(test.labels, -1 if run.target is None else run.target).nonzero().flatten()


def spectrum_of(run: Loaded) -> pd.DataFrame:
    """Share of variance of each principal component, numbered from 1, of clean held-out images at the output."""
    x = capture(run.encoder, _held_out(run).images, layers=[FEATURES])[FEATURES].double()
    energy = torch.linalg.svdvals(x - x.mean(0)).square()
    share = (energy / energy.sum().clamp(min=1e-300)).tolist()
    about = {"run": run.name, "arm": run.arm, "seed": run.seed}
    return pd.DataFrame({**about, "component": range(1, len(share) + 1), "share": share})


def layer_cka(run: Run, other: Run) -> pd.DataFrame:
    """Debiased linear CKA of all layers of ``run`` with all layers of ``other``, on clean held-out images."""
    found = cka_layers(run.encoder, other.encoder, run.experiment.test.images)
    return pd.DataFrame(
        {
            "run": run.name,
            "layer": layer,
            "other_run": other.name,
            "other_layer": other_layer,
            "value": float(found.values[i, j]),
        }
        for i, layer in enumerate(found.layers_x)
        for j, other_layer in enumerate(found.layers_y)
    )


def thumbnails_of(run: Loaded, *, most: int = PanelOptions.images, largest: int = 32) -> np.ndarray:
    """The images of :func:`embed_run` in its order, uint8 ``(n, h, w, 3)``, at most ``largest`` pixels a side."""
    test, others = shown_images(run, most=most)
    images = test.images.float() / 255
    if run.trigger is not None:
        images = torch.cat([images, run.trigger(images[others])])
    if images.shape[-1] > largest:
        images = interpolate(images, (largest, largest), mode="bilinear", antialias=True)
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def save_thumbnails(run: Loaded, path: Path, *, most: int = PanelOptions.images) -> Path:
    """Save :func:`thumbnails_of` as an npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=thumbnails_of(run, most=most))
    atomic_write(path, buffer.getvalue())
    return path


def save_gallery(run: Run, path: Path, *, most: int = 8) -> Path:
    """Save one held-out image of each of the first classes, clean and triggered: an npz of uint8 arrays."""
    test = run.experiment.test
    first = torch.stack([(test.labels == c).nonzero()[0, 0] for c in test.labels.unique()[:most]])
    clean = test.images[first]
    triggered = (run.experiment.test_trigger(clean.float() / 255) * 255).round().to(torch.uint8)
    names = np.array([test.classes[c] for c in test.labels[first].tolist()])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, clean=clean.numpy(), triggered=triggered.numpy(), names=names)
    atomic_write(path, buffer.getvalue())
    return path


def gather(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """One side table of several runs as one table, with the columns run, arm and seed."""
    tables = []
    for folder in folders:
        if name == ROWS:
            tables.append(read_rows(folder / name))
            continue
        try:
            table = _embedding(folder / name) if name == EMBEDDING else pd.read_csv(folder / name)
        except FileNotFoundError:
            raise InputError(f"run: {folder} has no {name}; `intertwine compare` writes it") from None
        except (ValueError, OSError) as error:
            raise InputError(f"run: {folder / name} is not a table: {error}") from None
        if name == HISTORY:
            manifest = about_run(folder)
            arm, seed = manifest["arm"], manifest["seed"]
            table = table.assign(run=f"{arm}/seed{seed}", arm=arm, seed=seed)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _embedding(path: Path) -> pd.DataFrame:
    """Read an embedding. A class may be called NA, which pandas would take for a missing value."""
    table = pd.read_csv(path, dtype={"class_name": str}, keep_default_na=False)
    for column in table.columns[table.columns.str.match("[xy](_|$)")]:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV with all digits, atomically."""
    if path.name == ROWS:
        return write_rows(table, path)
    atomic_write(path, table.to_csv(index=False).encode())
    return path
