"""Trained runs on disk: measure one against its floor, find many, and the side tables that figures draw."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checkpoints.store import Checkpoint, atomic_write, is_finished, load_checkpoint, load_snapshot
from ..representations.capture import capture, evaluating
from ..representations.embedding import pca, umap
from ..representations.encoders import FEATURES, Encoder
from ..representations.errors import InputError
from ..representations.evaluate import EVALUATORS
from ..representations.seeds import generator
from ..representations.similarity import cka_layers
from ..training.data import ImageSet
from ..training.experiment import Experiment, prepare
from ..training.fit import pick_device
from ..training.learner import build_objective
from ..training.poison import ARMS, PoisonPlan
from ..training.recipe import Recipe
from ..training.triggers import Trigger
from .panel import panel
from .rows import JUDGE, read_rows, write_rows
from .sets import ReadingSet

__all__ = [
    "Run",
    "about_run",
    "differing",
    "embed_run",
    "find_runs",
    "gather",
    "layer_cka",
    "load_run",
    "measure_run",
    "save_gallery",
    "save_thumbnails",
    "shown_images",
    "spectrum_of",
]

ROWS, HISTORY, EMBEDDING, GALLERY = "rows.csv", "history.csv", "embedding.csv", "triggers.npz"
THUMBNAILS, SPECTRUM, LAYER_CKA = "thumbnails.npz", "spectrum.csv", "layer_cka.csv"


@dataclass(frozen=True)
class Run:
    """A finished run with the data it was trained on; ``name`` is ``arm/seed``, as in the rows."""

    checkpoint: Checkpoint
    experiment: Experiment

    @property
    def name(self) -> str:
        return f"{self.experiment.recipe.arm}/seed{self.experiment.recipe.seed}"

    @property
    def encoder(self) -> Encoder:
        return self.checkpoint.encoder


def load_run(
    folder: Path | str,
    *,
    data: str | None = None,
    data_root: Path | str | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
) -> Run:
    """Load a run and its data, and check that they belong together.

    Args:
        data: where the data is now, if the folder has moved since training.

    Raises:
        InputError: not a run of ours, or the data is not the data that it was trained on.
    """
    checkpoint = load_checkpoint(folder)
    manifest = _about(checkpoint)
    recipe = Recipe.from_dict(manifest["recipe"])
    plan = PoisonPlan.from_dict(manifest["plan"])
    experiment = prepare(
        recipe.replace(data=data) if data else recipe, data_root=data_root, skip_unreadable=skip_unreadable
    )
    if experiment.plan != plan:
        raise InputError(
            f"data: {experiment.recipe.data!r} is not what {folder} was trained on: expected fingerprint "
            f"{plan.data[:12]}…, received {experiment.plan.data[:12]}…"
        )
    checkpoint.encoder.to(pick_device(device)).eval()
    return Run(checkpoint, experiment)


def about_run(folder: Path) -> dict[str, Any]:
    """The manifest of a run: arm, seed, recipe, plan and the rest."""
    return _about(load_checkpoint(folder))


def differing(
    mine: Mapping[str, Any], other: Mapping[str, Any], *, ignore: Sequence[str] = ("name", "arm")
) -> list[str]:
    """In which fields two runs' recipes differ, but for those ignored: paired runs differ in the arm and in nothing
    else."""
    a, b = mine["recipe"], other["recipe"]
    return [
        f"{k} {b.get(k)!r} for {a.get(k)!r}" for k in a.keys() | b.keys() if k not in ignore and a.get(k) != b.get(k)
    ]


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    manifest = checkpoint.manifest
    for key, kind in (("arm", str), ("seed", int), ("recipe", dict), ("plan", dict), ("final", dict)):
        if not isinstance(manifest.get(key), kind):
            raise InputError(f"checkpoint: {checkpoint.path} has no {key} in its manifest: not a run of intertwine's")
    if manifest["arm"] not in ARMS:
        raise InputError(
            f"checkpoint: {checkpoint.path}: expected an arm of {', '.join(ARMS)}, received {manifest['arm']!r}"
        )
    return manifest


def measure_run(
    run: Run,
    floor: Run | None = None,
    *,
    layers: Sequence[str] | None = None,
    readings: str | Sequence[str] | ReadingSet = "standard",
    most: int = 2000,
    most_bank: int = 5000,
    evaluator: str = JUDGE,
    epoch: int | None = None,
    trigger: Trigger | None = None,
) -> pd.DataFrame:
    """The panel of a run, on its held-out images. ``most``, ``most_bank``, ``evaluator``: as in :func:`.panel.panel`.

    Args:
        trigger: by default the run's own test trigger.
        epoch: read the snapshots after so many epochs, of the floor too, instead of the trained encoders; without the
            rates of the native head.
    """
    e = run.experiment
    if floor is not None:
        _must_be_floor(run, floor)
    encoder, clean = run.encoder, floor.encoder if floor else None
    if epoch is not None:
        encoder = load_snapshot(run.checkpoint, epoch)[0].to(encoder.mean.device)
        clean = load_snapshot(floor.checkpoint, epoch)[0].to(encoder.mean.device) if floor else None
    return panel(
        encoder,
        e.test.images,
        e.test.labels,
        trigger or e.test_trigger,
        e.plan.target,
        bank=(e.train.images, e.train.labels),
        floor=clean,
        head=_native_head(run) if epoch is None else None,
        augment=e.recipe.augment(),
        readings=readings,
        layers=layers,
        most=most,
        most_bank=most_bank,
        evaluator=evaluator,
        poisons=len(e.plan.indices(e.arm)),
        run=run.name,
        arm=e.recipe.arm,
        seed=e.recipe.seed,
        epoch=run.checkpoint.manifest["final"]["epoch"] if epoch is None else epoch,
        floor_run=floor.name if floor else "",
    )


def _must_be_floor(run: Run, floor: Run) -> None:
    arm, other = run.experiment.recipe.arm, floor.experiment.recipe.arm
    expected = run.experiment.arm.floor
    if other != expected:
        raise InputError(f"floor: expected a run of {expected} for {arm}, received one of {other}")
    if other_fields := differing(run.checkpoint.manifest, floor.checkpoint.manifest):
        raise InputError(
            f"floor: expected the recipe of {run.name} but for the arm, received {'; '.join(other_fields)}"
        )
    if run.experiment.plan != floor.experiment.plan:
        raise InputError(f"floor: expected the plan of {run.name}, received that of other data")


def _native_head(run: Run) -> Callable[[Tensor], Tensor] | None:
    """The classifier that a supervised arm was trained with, features → logits."""
    e = run.experiment
    if e.arm.method != "supervised":
        return None
    objective = build_objective(e.recipe, "supervised", run.encoder, len(e.train.classes))
    try:
        objective.load_state_dict(run.checkpoint.head)
    except RuntimeError as error:
        raise InputError(
            f"checkpoint: {run.checkpoint.path}: its head does not fit: {str(error).splitlines()[-1].strip()}"
        ) from None
    head = objective.get_submodule("head")

    def logits(features: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(head):
            return head(features.float())

    return logits


def embed_run(run: Run, *, most: int = 2000, evaluator: str = JUDGE) -> pd.DataFrame:
    """UMAP of clean and triggered held-out images together (``x``, ``y``), and the first two principal components at
    every tap (``x_TAP``, ``y_TAP``); at most ``most`` images, drawn by the run's seed. ``hit``: whether the evaluator
    sends a triggered image to the target."""
    e = run.experiment
    test, others = shown_images(run, most=most)
    clean, triggered = (
        capture(run.encoder, images, transform=transform)
        for images, transform in ((test.images, None), (test.images[others], e.test_trigger))
    )
    bank = capture(run.encoder, e.train.images, layers=[FEATURES])[FEATURES]
    hit = EVALUATORS[evaluator](triggered[FEATURES], bank, e.train.labels) == e.plan.target
    both = {layer: torch.cat([clean[layer], triggered[layer]]) for layer in run.encoder.layers}
    points = umap(both[FEATURES], seed=e.recipe.seed)
    image = torch.cat([torch.arange(len(test)), others])
    components = {layer: pca(x).float().numpy() for layer, x in both.items()}
    return pd.DataFrame(
        {
            "run": run.name,
            "arm": e.recipe.arm,
            "seed": e.recipe.seed,
            "image": image,
            "label": test.labels[image],
            "class_name": [test.classes[i] for i in test.labels[image].tolist()],
            "triggered": torch.arange(len(image)) >= len(test),
            "target": e.plan.target,
            "hit": torch.cat([torch.zeros(len(test), dtype=torch.bool), hit]),
            "x": points[:, 0],
            "y": points[:, 1],
            **{f"{axis}_{layer}": xy[:, i] for layer, xy in components.items() for i, axis in enumerate("xy")},
        }
    )


def shown_images(run: Run, *, most: int = 2000) -> tuple[ImageSet, Tensor]:
    """The held-out images of embeddings, and which of them are shown with the trigger as well, int64: those that are
    not of the target class."""
    e = run.experiment
    test = e.test
    if len(test) > most:
        stream = generator(e.recipe.seed, "embedding")
        test = test.subset(torch.randperm(len(test), generator=stream)[:most].sort().values)
    return test, (test.labels != e.plan.target).nonzero().flatten()


def spectrum_of(run: Run) -> pd.DataFrame:
    """Share of the variance of clean held-out images' features that each principal component has, from 1."""
    x = capture(run.encoder, run.experiment.test.images, layers=[FEATURES])[FEATURES].double()
    energy = torch.linalg.svdvals(x - x.mean(0)).square()
    share = (energy / energy.sum().clamp(min=1e-300)).tolist()
    about = {"run": run.name, "arm": run.experiment.recipe.arm, "seed": run.experiment.recipe.seed}
    return pd.DataFrame({**about, "component": range(1, len(share) + 1), "share": share})


def layer_cka(run: Run, other: Run) -> pd.DataFrame:
    """CKA (linear, debiased) of every layer of ``run`` with every layer of ``other`` on clean held-out images."""
    found = cka_layers(run.encoder, other.encoder, run.experiment.test.images)
    return pd.DataFrame(
        {"run": run.name, "layer": layer, "run_b": other.name, "layer_b": layer_b, "value": float(found.values[i, j])}
        for i, layer in enumerate(found.layers_x)
        for j, layer_b in enumerate(found.layers_y)
    )


def save_thumbnails(run: Run, path: Path, *, most: int = 2000, largest: int = 32) -> Path:
    """The images of :func:`embed_run` in its order, clean then triggered, uint8 ``(n, h, w, 3)`` of at most ``largest``
    pixels a side, as an npz."""
    test, others = shown_images(run, most=most)
    clean = test.images.float() / 255
    images = torch.cat([clean, run.experiment.test_trigger(clean[others])])
    if images.shape[-1] > largest:
        images = interpolate(images, (largest, largest), mode="bilinear", antialias=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=(images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    atomic_write(path, buffer.getvalue())
    return path


def save_gallery(run: Run, path: Path, *, most: int = 8) -> Path:
    """One held-out image of each class (the first few), clean and triggered, as uint8 arrays in an npz."""
    test = run.experiment.test
    first = torch.stack([(test.labels == c).nonzero()[0, 0] for c in test.labels.unique()[:most]])
    clean = test.images[first]
    triggered = (run.experiment.test_trigger(clean.float() / 255) * 255).round().to(torch.uint8)
    names = np.array([test.classes[c] for c in test.labels[first].tolist()])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, clean=clean.numpy(), triggered=triggered.numpy(), names=names)
    atomic_write(path, buffer.getvalue())
    return path


def find_runs(paths: Sequence[Path | str]) -> list[Path]:
    """The finished runs at or below the given folders, sorted."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise InputError(f"run: expected a folder, received {str(path)!r}, which is not one")
        inside = [path] if is_finished(path) else sorted(p.parent for p in path.rglob("manifest.json"))
        if not inside:
            raise InputError(f"run: expected a finished run at or below {path}, found none")
        found += inside
    return list(dict.fromkeys(found))


def gather(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """One side table of several runs under each other, marked with run, arm and seed where it does not say."""
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
    """A class may be called NA, which pandas takes for a missing value."""
    table = pd.read_csv(path, dtype={"class_name": str}, keep_default_na=False)
    for column in table.columns[table.columns.str.match("[xy](_|$)")]:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Any side table as CSV, every digit kept, all or nothing."""
    if path.name == ROWS:
        return write_rows(table, path)
    atomic_write(path, table.to_csv(index=False).encode())
    return path
