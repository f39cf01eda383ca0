"""Train one arm, so that it can be killed at any moment and continued to the same bits.

Random streams are functions of seed, epoch and step, and the learning rate is a function of the step: the only state
between epochs is the weights, the optimiser's moments and the history, and one file holds them all.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ..checkpoints.store import (
    clear_leftovers,
    is_finished,
    load_checkpoint,
    save_checkpoint,
    save_snapshot,
)
from ..representations.capture import capture, evaluating
from ..representations.encoders import FEATURES, Encoder, build_encoder
from ..representations.errors import InputError
from ..representations.evaluate import accuracy, attack_success, knn_predict
from ..representations.seeds import derive_seed, generator
from .collapse import collapse_signs
from .experiment import Experiment, prepare
from .objectives import BYOL, BarlowTwins, MoCo, SimCLR, SimSiam, SupCon, Supervised
from .poison import ARMS
from .recipe import Recipe
from .resume import STATE, identity_of, must_match, read_state, write_state

EVALUATED = ("acc", "asr", "r_acc", "feature_sd", "effective_rank", "projection_sd")
"""Columns of the history that are read every ``eval_every`` epochs."""

__all__ = ["build_objective", "fit", "learning_rate", "pick_device", "snapshot_schedule"]


def fit(
    recipe: Recipe,
    out: Path | str,
    *,
    data_root: Path | str | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    on_epoch: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> Path:
    """Train ``recipe`` into the checkpoint folder ``out`` and return it; continue there if a run of it was cut short.

    Args:
        on_epoch: called after each epoch with the number of epochs done, how many there are, and the row of
            ``history.csv``.

    Raises:
        InputError: bad data or plan; ``out`` holds another run (what differs is named); the loss is no longer finite.
    """
    out, place = Path(out), pick_device(device)
    experiment = prepare(recipe, data_root=data_root, skip_unreadable=skip_unreadable)
    identity = identity_of(experiment, place)
    if any(p.exists() and not p.is_dir() for p in (out, *out.parents)):
        raise InputError(f"out: expected a folder, received {str(out)!r}, which is or lies below a file")
    if is_finished(out):
        must_match(load_checkpoint(out).manifest.get("identity"), identity, out)
        (out / STATE).unlink(missing_ok=True)  # killed between the last two steps
        return out
    if recipe.batch > len(experiment.train):
        raise InputError(
            f"batch: expected at most the {len(experiment.train)} training images, received {recipe.batch}"
        )
    training = _Training(experiment, place)
    done, history, spent = 0, [], {"wall": 0.0, "cpu": 0.0}
    clear_leftovers(out)
    if (out / STATE).is_file():
        state = read_state(out / STATE, recipe.epochs)
        must_match(state["identity"], identity, out)
        try:
            training.load(state)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"out: {out / STATE} is corrupted (it does not fit this run); remove it to start this run again"
            ) from None
        done, history, spent = state["epoch"], state["history"], state["spent"]
    else:
        shutil.rmtree(out / "snapshots", ignore_errors=True)  # of a run that was given up
        save_snapshot(out, training.encoder, 0)
    wall, cpu = time.perf_counter() - spent["wall"], time.process_time() - spent["cpu"]
    for epoch in range(done, recipe.epochs):
        row = training.epoch(epoch)
        history.append(row)
        if epoch + 1 in snapshot_schedule(recipe.epochs):
            save_snapshot(out, training.encoder, epoch + 1)
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        state = training.state() | {"identity": identity, "epoch": epoch + 1, "history": history, "spent": spent}
        write_state(out / STATE, state)
        if on_epoch:
            on_epoch(epoch + 1, recipe.epochs, row)
    manifest = {
        "arm": recipe.arm,
        "seed": recipe.seed,
        "recipe": recipe.to_dict(),
        "plan": experiment.plan.to_dict(),
        "classes": list(experiment.train.classes),
        "identity": identity,
        "run_hash": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        "final": history[-1],
        "seconds": spent,
    }
    save_checkpoint(
        out, training.encoder, training.objective.state_dict(), manifest, pd.DataFrame(history).to_csv(index=False)
    )
    (out / STATE).unlink(missing_ok=True)
    return out


def build_objective(recipe: Recipe, method: str, encoder: Encoder, classes: int) -> nn.Module:
    """The objective of a method (see :class:`.poison.Arm`) with freshly drawn heads for the encoder's tap."""
    sizes = encoder.dim, recipe.hidden, recipe.projection
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "head-init"))
        match method:
            case "supervised":
                return Supervised(encoder.dim, recipe.hidden, classes)
            case "supcon":
                return SupCon(*sizes, recipe.temperature)
            case "contrastive":
                return SimCLR(*sizes, recipe.temperature, norm=recipe.head_norm)
            case "byol":
                return BYOL(encoder, *sizes, recipe.ema)
            case "simsiam":
                return SimSiam(*sizes)
            case "moco":
                return MoCo(encoder, *sizes, recipe.temperature, recipe.ema, recipe.queue)
            case "barlow":
                return BarlowTwins(*sizes, recipe.redundancy)
    raise InputError(f"method: expected one of {', '.join({a.method for a in ARMS.values()})}, received {method!r}")


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """``onecycle``: along a cosine from lr/25 up to lr over the warm-up, then down to lr/10⁴ (Smith and Topin, 2019).
    ``epochs``: a line from 0 up to lr over the warm-up, then a cosine down to 0, by whole epochs: the first is at 0."""
    if recipe.schedule == "epochs":
        epoch = step * recipe.epochs // steps
        first = round(recipe.warmup * recipe.epochs)
        if epoch < first:
            return recipe.lr * epoch / first
        return recipe.lr * (1 + math.cos(math.pi * (epoch - first) / max(1, recipe.epochs - first))) / 2
    rising = recipe.warmup * steps
    if step < rising:
        start, end, part = recipe.lr / 25, recipe.lr, step / rising
    else:
        start, end, part = recipe.lr, recipe.lr / 1e4, (step - rising) / max(1.0, steps - 1 - rising)
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def snapshot_schedule(epochs: int) -> list[int]:
    """Epochs whose encoder is kept, log-spaced because the tasks are learned early: 1, 2, 4, 8 … and the last."""
    return sorted({2**i for i in range(epochs.bit_length()) if 2**i <= epochs} | {epochs})


def pick_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise InputError(f"device: expected auto, cpu or cuda, received {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: expected a CUDA device for 'cuda', but PyTorch sees none")
    return torch.device(device)


class _Training:
    """Encoder, objective and optimiser of one run, and what an epoch does to them."""

    def __init__(self, experiment: Experiment, device: torch.device) -> None:
        recipe = experiment.recipe
        self.experiment, self.recipe, self.device = experiment, recipe, device
        self.encoder = build_encoder(recipe.encoder_spec(), seed=recipe.seed).to(device)
        classes = len(experiment.train.classes)
        self.objective = build_objective(recipe, experiment.arm.method, self.encoder, classes).to(device)
        self.slow: nn.Module | None = getattr(self.objective, "slow", None)
        self.follow: Callable[[nn.Module, float], None] | None = getattr(self.objective, "follow", None)
        self.views = 1 if experiment.arm.method == "supervised" else 2
        # On the CPU channels_last is not safe in every release of PyTorch (odd batches crash 2.15.0).
        self.layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        for module in (self.encoder, self.objective):  # which may hold a copy of the encoder
            module.to(memory_format=self.layout)
        both = [*self.encoder.parameters(), *self.objective.parameters()]
        self.parameters = [p for p in both if p.requires_grad]  # a slow copy's are not learned
        self.optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adam":
            self.optimiser = torch.optim.Adam(self.parameters, recipe.lr, weight_decay=recipe.weight_decay)
        else:
            self.optimiser = torch.optim.SGD(
                self.parameters, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
        self.images = experiment.train.images.to(device)
        self.labels = experiment.labels.to(device)
        self.mask = experiment.mask.to(device)
        self.trigger = experiment.train_trigger
        self.augment = recipe.augment()
        self.steps = len(self.images) // recipe.batch  # the last short batch is left out: negatives stay equally many

    def epoch(self, epoch: int) -> dict[str, Any]:
        """One pass over the data; returns the row of the history."""
        recipe = self.recipe
        self.encoder.train()
        self.objective.train()
        order = torch.randperm(len(self.images), generator=generator(recipe.seed, "order", epoch)).to(self.device)
        totals, losses, poison = [], [], []
        rate = 0.0
        for step in range(self.steps):
            index = order[step * recipe.batch : (step + 1) * recipe.batch]
            rate = learning_rate(recipe, epoch * self.steps + step, recipe.epochs * self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            views = self._views(index, epoch, step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                views = views.to(memory_format=self.layout)
                features = self.encoder(views).view(self.views, len(index), -1)
                seen_slowly = (self.slow(views),) if self.slow is not None else ()
                loss = self.objective(features, self.labels[index], *seen_slowly)
            self.optimiser.zero_grad(set_to_none=True)
            (recipe.loss_scale * loss.total).backward()
            self.optimiser.step()
            if self.follow is not None:
                self.follow(self.encoder, (epoch * self.steps + step + 1) / (recipe.epochs * self.steps))
            totals.append(loss.total.detach().float())
            if loss.per_sample is not None:
                losses.append(loss.per_sample)
            poison.append(self.mask[index])
        total, is_poison = torch.stack(totals).double().cpu(), torch.cat(poison).cpu()
        per_sample = torch.cat(losses).double().cpu() if losses else None
        mean, clean, poisoned = float(total.mean()), torch.nan, torch.nan  # where no image has a loss of its own
        if per_sample is not None:
            mean, clean, poisoned = (
                float(x.mean()) for x in (per_sample, per_sample[~is_poison], per_sample[is_poison])
            )
        diverged = f"no longer finite in epoch {epoch + 1}; lower the rate ({recipe.lr:g})"
        if not torch.isfinite(total).all():
            raise InputError(f"lr: the loss is {diverged}")
        if not all(bool(torch.isfinite(p).all()) for p in self.parameters):
            raise InputError(f"lr: the weights are {diverged}")
        row = {
            "epoch": epoch + 1,
            "images_seen": (epoch + 1) * self.steps * recipe.batch,
            "lr": rate,
            "loss": mean,
            "loss_clean": clean,
            "loss_poison": poisoned,
        }
        due = (epoch + 1) % recipe.eval_every == 0 or epoch + 1 == recipe.epochs
        try:
            return row | (self.evaluate() if due else dict.fromkeys(EVALUATED, float("nan")))
        except InputError:  # the data were checked long ago: the last step has blown the encoder up
            raise InputError(f"lr: the features are {diverged}") from None

    def _views(self, index: Tensor, epoch: int, step: int) -> Tensor:
        """The batch's augmented views, float ``(views · n, 3, H, W)``, triggered where the arm is poisoned."""
        x = self.images[index].float() / 255
        hit = self.mask[index]
        if hit.any():
            triggered = self.trigger(x[hit])
            x[hit] = (triggered * 255).round() / 255 if self.recipe.quantise else triggered
        seed = self.recipe.seed
        return torch.cat([self.augment(x, generator(seed, "augment", epoch, step, v)) for v in range(self.views)])

    def evaluate(self) -> dict[str, float]:
        """ACC, ASR and R-Acc on the test set by weighted kNN on the clean training images, and signs of collapse on its
        clean images."""
        train, test, plan = self.experiment.train, self.experiment.test, self.experiment.plan
        others = test.labels != plan.target
        bank, clean, triggered = (
            capture(self.encoder, images, layers=[FEATURES], transform=transform)[FEATURES]
            for images, transform in (
                (train.images, None),
                (test.images, None),
                (test.images[others], self.experiment.test_trigger),
            )
        )
        predicted = knn_predict(torch.cat([clean, triggered]), bank, train.labels)
        on_clean, on_triggered = predicted.split([len(clean), len(triggered)])
        source = test.labels[others]
        return {
            "acc": float(accuracy(on_clean, test.labels).mean()),
            "asr": float(attack_success(on_triggered, source, plan.target).mean()),
            "r_acc": float(accuracy(on_triggered, source).mean()),
            **collapse_signs(clean, self._projected(clean)),
        }

    def _projected(self, features: Tensor) -> Tensor | None:
        """What the projector makes of them; None where the objective has none."""
        projector = getattr(self.objective, "projector", None)
        if projector is None:
            return None
        with torch.inference_mode(), evaluating(projector):
            return projector(features.to(self.device)).cpu()

    def state(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
