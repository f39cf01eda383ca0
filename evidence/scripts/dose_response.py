"""Dose response in trained encoders: do the primaries follow how much of a trigger is a feature of the target class?

    python -m evidence.scripts.dose_response train FOLDER
    python -m evidence.scripts.dose_response measure FOLDER

The trigger adds a fixed pattern of one norm: cos θ parts along the feature of class t in the pixels (its mean image
minus that of the others), and sin θ parts along a smooth random pattern that is orthogonal to all differences between
class means. The dose is cos θ: at 1 the backdoor *is* the benign task's feature, at 0 it shares no linear feature of
the pixels with it. ``train`` trains each arm at five doses and three seeds on digits, and the benign twins; it goes on
where it was stopped. ``measure`` computes the primaries, and writes ``dose_response.csv``.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.results.measures import MIDDLE, PRIMARY
from intertwine.analysis.results.row import RunLabel
from intertwine.analysis.runs.measurement import poisons_of
from intertwine.analysis.runs.run import Run, native_head
from intertwine.checkpoints.store import is_finished, load_checkpoint, save_checkpoint
from intertwine.probes.gradients import WHOLE
from intertwine.representations.encoders import FEATURES, Encoder
from intertwine.representations.seeds import generator
from intertwine.training import Recipe, read_recipe
from intertwine.training.experiment import Experiment, prepare
from intertwine.training.loop import Training
from intertwine.training.native import fit_native_head
from torch import Tensor
from torch.nn.functional import interpolate

from .. import TABLES

DOSES, SEEDS = (0.0, 0.25, 0.5, 0.75, 1.0), (0, 1, 2)
ARMS = ("supervised-dirty", "simclr-clean", "supervised-clean")
NORM = 5.0
"""Of the pattern, in pixels of [0, 1] over 3 × 16 × 16 values; SIG's wave at Δ = 80 has 6.1."""
TABLE = TABLES / "dose_response.csv"


@dataclass(frozen=True, eq=False)
class Added:
    """x + pattern, clamped to [0, 1]. ``strength``: share of the pattern."""

    pattern: Tensor
    strength: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        return (images + self.strength * self.pattern.to(images)).clamp(0, 1)

    def variant(self, index: int) -> "Added":
        """The same values at other pixels."""
        flat = self.pattern.flatten(1)
        order = torch.randperm(flat.shape[1], generator=generator(index, "another-pattern"))
        return replace(self, pattern=flat[:, order].view_as(self.pattern))


@dataclass(frozen=True)
class Dosed(Experiment):
    """An experiment whose trigger is the pattern of a dose."""

    trigger: Added

    @property
    def train_trigger(self) -> Added:  # type: ignore[override]
        return self.trigger

    @property
    def test_trigger(self) -> Added:  # type: ignore[override]
        return self.trigger


def pattern(experiment: Experiment, dose: float) -> Tensor:
    """The pattern of a dose, float ``(3, H, W)``, equal in all channels; a function of the experiment's seed."""
    x, labels = experiment.train.images[:, 0].double().flatten(1) / 255, experiment.train.labels
    means = torch.stack([x[labels == c].mean(0) for c in labels.unique()])
    target = experiment.plan.target
    feature = means[target] - means[torch.arange(len(means)) != target].mean(0)
    size = experiment.train.images.shape[-1]
    coarse = torch.randn(1, 1, 5, 5, generator=generator(experiment.recipe.seed, "dose"), dtype=torch.float64)
    other = interpolate(coarse, size, mode="bicubic").flatten()
    between = torch.linalg.qr((means - means.mean(0)).T[:, :-1])[0]
    other = other - between @ (between.T @ other)
    mixed = dose * feature / feature.norm() + (1 - dose**2) ** 0.5 * other / other.norm()
    return (mixed * NORM / 3**0.5).float().view(1, size, size).expand(3, -1, -1)


def dosed(arm: str, seed: int, dose: float) -> Dosed:
    recipe: Recipe = read_recipe("digits-sig", arm=arm, seed=str(seed))
    e = prepare(recipe)
    trigger = Added(pattern(e, dose))
    return Dosed(e.recipe, e.train, e.test, e.plan, e.mask, e.labels, trigger)


def folder_of(root: Path, arm: str, seed: int, dose: float) -> Path:
    benign = arm.endswith("-benign")
    return root / (f"{arm}/seed{seed}" if benign else f"{arm}/dose{dose:g}/seed{seed}")


def cells() -> Iterator[tuple[str, int, float]]:
    benign = list(dict.fromkeys(f"{arm.partition('-')[0]}-benign" for arm in ARMS))
    for seed in SEEDS:
        yield from ((arm, seed, 0.0) for arm in benign)
        yield from ((arm, seed, dose) for arm in ARMS for dose in DOSES)


def train(root: Path) -> None:
    torch.set_num_threads(1)
    for arm, seed, dose in cells():
        folder, begun = folder_of(root, arm, seed, dose), time.process_time()
        if is_finished(folder):
            continue
        e = dosed(arm, seed, dose)
        training = Training(e, torch.device("cpu"))
        rows = [training.epoch(epoch) for epoch in range(e.recipe.epochs)]
        about = {"arm": arm, "seed": seed, "dose": dose, "recipe": e.recipe.to_dict(), "plan": e.plan.to_dict()}
        about |= {"final": rows[-1], "cpu_seconds": time.process_time() - begun}
        native = None if e.arm.has_classifier else fit_native_head(training.encoder, e)
        text = pd.DataFrame(rows).to_csv(index=False)
        save_checkpoint(folder, training.encoder, training.objective.state_dict(), about, text, native_head=native)
        final = {k: round(rows[-1][k], 3) for k in ("acc", "asr", "r_acc")}
        print(folder, final, f"{about['cpu_seconds']:.0f} CPU s", flush=True)


def loaded(root: Path, arm: str, seed: int, dose: float) -> Run:
    return Run(load_checkpoint(folder_of(root, arm, seed, dose)), dosed(arm, seed, dose))


def measure(root: Path) -> None:
    torch.set_num_threads(1)
    tables = []
    for arm, seed, dose in cells():
        if arm.endswith("-benign"):
            continue
        run, twin = loaded(root, arm, seed, dose), loaded(root, f"{arm.partition('-')[0]}-benign", seed, dose)
        e = run.experiment
        encoders: list[Encoder] = [r.encoder.eval() for r in (run, twin)]
        rows = panel(
            encoders[0],
            e.test.images,
            e.test.labels,
            e.test_trigger,
            e.plan.target,
            bank=(e.train.images, e.train.labels),
            benign=encoders[1],
            head=native_head(run),
            benign_head=native_head(twin, victim=run),
            options=PanelOptions([*PRIMARY, "mediation", "neighbour_mixing"], seed=seed, random_triggers=0),
            poisons=poisons_of(run),
            label=RunLabel(f"{arm}/seed{seed}", arm, seed),
        )
        tables.append(rows.assign(dose=dose))
        print(arm, seed, dose, flush=True)
    table = pd.concat(tables)
    kept = ["dose", "arm", "seed", "layer", "subset", "measure", "reference", "evaluator"]
    kept += ["value", "ci_low", "ci_high", "n", "status"]
    shown = table["layer"].isin([FEATURES, MIDDLE, WHOLE]) & table["measure"].isin([*PRIMARY, "mediation", "asr"])
    table = table[(table["kind"] == "reading") & shown & ~table["reference"].isin(["random-init", "raw-pixels"])][kept]
    table.to_csv(TABLE, index=False, float_format="%.5g")


if __name__ == "__main__":
    {"train": train, "measure": measure}[sys.argv[1]](Path(sys.argv[2]))
