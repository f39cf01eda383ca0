"""Trained runs on disk: load one with its data, find many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...checkpoints.shipped import PREFIX, carried_file, copy_run, index, resolve
from ...checkpoints.store import Checkpoint, is_finished, load_checkpoint, load_snapshot
from ...representations.capture import evaluating
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.data import ImageSet
from ...training.experiment import Experiment, prepare
from ...training.fit import pick_device
from ...training.model import build_objective
from ...training.native import fit_native_head
from ...training.poison import PoisonPlan
from ...training.recipe import EARLIER, Recipe
from ...training.triggers import Trigger
from ..results.row import RunLabel
from .carried_images import CarriedImages, read_carried
from .description import described, described_html

__all__ = ["Run", "about_run", "find_runs", "load_run", "native_head", "with_twin"]


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """A finished run with its data. name: ``ARM/seedN``, as in the rows.

    twin: its benign twin, where one was found. carried: the images that an encoder of the zoo ships with, where they
    stand for the data of its training.
    """

    checkpoint: Checkpoint
    experiment: Experiment
    twin: "Run | None" = None
    carried: CarriedImages | None = None

    @property
    def data(self) -> ImageSet:
        """The held-out images."""
        return self.experiment.test

    @property
    def bank(self) -> ImageSet:
        """The clean training images, for evaluators."""
        return self.experiment.train

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        return self.data.images.shape[-1]

    @property
    def trigger(self) -> Trigger:
        """The trigger of tests."""
        return self.experiment.test_trigger

    @property
    def target(self) -> int:
        """The backdoor's class."""
        return self.experiment.plan.target

    @property
    def seed(self) -> int:
        """Drives every draw of its measurements."""
        return self.experiment.recipe.seed

    @property
    def arm(self) -> str:
        """LEARNER-POISON."""
        return self.experiment.recipe.arm

    @property
    def note(self) -> str:
        """What a reader of its rates must know; mostly nothing."""
        return self.carried.note if self.carried else ""

    def __repr__(self) -> str:
        return described(self)

    def _repr_html_(self) -> str:
        return described_html(self)

    @property
    def name(self) -> str:
        return f"{self.experiment.recipe.arm}/seed{self.experiment.recipe.seed}"

    @property
    def label(self) -> RunLabel:
        """The names of the run in rows, at the end of training."""
        recipe, plan = self.experiment.recipe, self.experiment.plan
        epoch = self.checkpoint.manifest["final"]["epoch"]
        return RunLabel(self.name, recipe.arm, recipe.seed, epoch, recipe.name, plan.hash[:8])

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
        folder: a run's folder, or ``zoo:NAME``.
        data: the data's place now, if it has moved since training.

    An encoder of the zoo uses the images that it ships with, unless ``data`` or ``data_root`` is given.

    Raises:
        InputError: the folder is not a run, or the data is not that of its training.
    """
    folder = resolve(folder)
    checkpoint = load_checkpoint(folder)
    manifest = _about(checkpoint)
    recipe = Recipe.from_dict(EARLIER | manifest["recipe"])
    plan = PoisonPlan.from_dict(manifest["plan"])
    checkpoint.encoder.to(pick_device(device)).eval()
    file = carried_file(folder) if data is None and data_root is None else None
    if file is not None:
        carried = read_carried(*file)
        return Run(checkpoint, carried.experiment(recipe, plan), carried=carried)
    experiment = prepare(
        recipe.replace(data=data) if data else recipe, data_root=data_root, skip_unreadable=skip_unreadable
    )
    if experiment.plan != plan:
        raise InputError(
            f"data: {experiment.recipe.data!r} is not what {folder} was trained on: expected fingerprint "
            f"{plan.data[:12]}…, received {experiment.plan.data[:12]}…"
        )
    return Run(checkpoint, experiment)


def with_twin(run: Run, folder: Path) -> Run:
    """The run with the benign twin of that folder, which shares its images: they are not loaded again."""
    checkpoint = load_checkpoint(folder)
    manifest = _about(checkpoint)
    checkpoint.encoder.to(run.encoder.mean.device).eval()
    e, recipe = run.experiment, Recipe.from_dict(EARLIER | manifest["recipe"])
    plan = PoisonPlan.from_dict(manifest["plan"])
    if ARMS[recipe.arm].is_poisoned or plan != e.plan:
        raise InputError(f"twin: expected a benign run on the plan of {run.name}, received {folder}")
    unpoisoned = replace(e, recipe=recipe, mask=torch.zeros_like(e.mask), labels=e.train.labels)
    return replace(run, twin=Run(checkpoint, unpoisoned, carried=run.carried))


def about_run(folder: Path) -> dict[str, Any]:
    """The manifest of a run: arm, seed, recipe, plan and more."""
    return _about(load_checkpoint(folder))


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    manifest = checkpoint.manifest
    for key, kind in (("arm", str), ("seed", int), ("recipe", dict), ("plan", dict), ("final", dict)):
        if not isinstance(manifest.get(key), kind):
            name = f"checkpoint: {checkpoint.path}"
            raise InputError(f"{name} has no {key} in its manifest: not a run of intertwine's")
    if manifest["arm"] not in ARMS:
        raise InputError(
            f"checkpoint: {checkpoint.path}: expected an arm of {', '.join(ARMS)}, received {manifest['arm']!r}"
        )
    return manifest


def native_head(run: Run, epoch: int | None = None, *, victim: Run | None = None) -> Callable[[Tensor], Tensor]:
    """The victim's own classifier, features → scores ``(m, C)``.

    Of a supervised arm it is the head that was trained with the encoder. Other learners have a linear head on the
    training data (see :func:`.native.fit_native_head`): the stored one, or one that is fitted now.

    Args:
        epoch: of the snapshot after this number of epochs, instead of the trained encoder.
        victim: the poisoned run whose benign twin ``run`` is. A linear head is then fitted on the victim's training
            data, poisons included. (Such a head binds the trigger to the target by itself, from features of any
            encoder. Compared with a head on clean data, every encoder would count as backdoored.)
    """
    e = run.experiment
    encoder, weights = (run.encoder, run.checkpoint.head) if epoch is None else load_snapshot(run.checkpoint, epoch)
    device = run.encoder.mean.device
    if not e.arm.has_classifier:
        linear = run.checkpoint.native_head if epoch is None and victim is None else None
        if epoch is None and victim is not None and victim.carried is not None:
            linear = victim.carried.twin_heads.get(victim.checkpoint.path.name)
        linear = linear or fit_native_head(encoder.to(device), victim.experiment if victim else e)
        weight, bias = linear["weight"], linear["bias"]
        return lambda features: normalize(features.float(), dim=1) @ weight.to(features).T + bias.to(features)
    objective = build_objective(e.recipe, "supervised", run.encoder, len(e.train.classes))
    try:
        objective.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"checkpoint: {run.checkpoint.path}: its head does not fit: {str(error).splitlines()[-1].strip()}"
        ) from None
    head = objective.get_submodule("head")

    def logits(features: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(head):
            return head(features.float())

    return logits


ZOO_COPIES = Path("runs/zoo")
"""Where commands write the tables of encoders of the zoo: beside copies, and not into the package."""


def find_runs(names: Sequence[Path | str]) -> list[Path]:
    """The finished runs of these names: run folders, folders with runs below them, and ``zoo:NAME``, sorted in each.

    An encoder of the zoo is copied to :data:`ZOO_COPIES`, and so is its benign twin, which comes along.
    """
    found: list[Path] = []
    for name in names:
        if str(name).startswith(PREFIX):
            found += _from_zoo(str(name))
            continue
        path = Path(name)
        if not path.is_dir():
            raise InputError(f"run: expected a folder or zoo:NAME, received {str(path)!r}, which is neither")
        inside = [path] if is_finished(path) else sorted(p.parent for p in path.rglob("manifest.json"))
        if not inside:
            raise InputError(f"run: expected a finished run at or below {path}, found none")
        found += inside
    return list(dict.fromkeys(found))


def _from_zoo(name: str) -> list[Path]:
    folder = resolve(name)
    benign = index()[folder.name]["benign"]
    entries = [folder, *([resolve(PREFIX + benign)] if benign else [])]
    return [copy_run(entry, ZOO_COPIES / entry.name) for entry in entries]
