"""Train one arm, so that it can be killed at any moment and continued to the same bits.

Random streams are functions of seed, epoch and step, and the learning rate is a function of the step: the only state
between epochs is the weights, the optimiser's moments and the history, and one file holds them all.
"""

import hashlib
import io
import json
import math
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ..checkpoints.store import (
    atomic_write,
    clear_leftovers,
    is_finished,
    load_checkpoint,
    save_checkpoint,
    save_snapshot,
)
from ..representations.capture import capture
from ..representations.encoders import FEATURES, build_encoder
from ..representations.errors import InputError
from ..representations.evaluate import accuracy, attack_success, knn_predict
from ..representations.seeds import derive_seed, generator
from .experiment import Experiment, prepare
from .objectives import SimCLR, SupCon, Supervised
from .recipe import Recipe

__all__ = ["build_objective", "fit", "learning_rate", "pick_device", "snapshot_schedule"]

STATE = "resume.pt"


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
    identity = _identity(experiment, place)
    if any(p.exists() and not p.is_dir() for p in (out, *out.parents)):
        raise InputError(f"out: expected a folder, received {str(out)!r}, which is or lies below a file")
    if is_finished(out):
        _must_match(load_checkpoint(out).manifest.get("identity"), identity, out)
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
        state = _read_state(out / STATE, recipe.epochs)
        _must_match(state["identity"], identity, out)
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
        _write_state(out / STATE, state)
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


def build_objective(recipe: Recipe, method: str, dim: int, classes: int) -> nn.Module:
    """The objective of an arm with freshly drawn heads. ``dim``: width of the tap."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "head-init"))
        if method == "supervised":
            return Supervised(dim, recipe.hidden, classes)
        kind = SupCon if method == "supcon" else SimCLR
        return kind(dim, recipe.hidden, recipe.projection, recipe.temperature)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """One cycle: along a cosine from lr/25 up to lr over the warm-up, then down to lr/10⁴ (Smith and Topin, 2019)."""
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
        self.objective = build_objective(recipe, experiment.arm.method, self.encoder.dim, classes).to(device)
        self.views = 1 if experiment.arm.method == "supervised" else 2
        # On the CPU channels_last is not safe in every release of PyTorch (odd batches crash 2.15.0).
        self.layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.encoder.to(memory_format=self.layout)
        self.parameters = [*self.encoder.parameters(), *self.objective.parameters()]
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
        losses, poison = [], []
        rate = 0.0
        for step in range(self.steps):
            index = order[step * recipe.batch : (step + 1) * recipe.batch]
            rate = learning_rate(recipe, epoch * self.steps + step, recipe.epochs * self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            views = self._views(index, epoch, step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                features = self.encoder(views.to(memory_format=self.layout))
                loss = self.objective(features.view(self.views, len(index), -1), self.labels[index])
            self.optimiser.zero_grad(set_to_none=True)
            loss.total.backward()
            self.optimiser.step()
            losses.append(loss.per_sample)
            poison.append(self.mask[index])
        per_sample, is_poison = torch.cat(losses).double().cpu(), torch.cat(poison).cpu()
        diverged = f"no longer finite in epoch {epoch + 1}; lower the rate ({recipe.lr:g})"
        if not torch.isfinite(per_sample).all():
            raise InputError(f"lr: the loss is {diverged}")
        if not all(bool(torch.isfinite(p).all()) for p in self.parameters):
            raise InputError(f"lr: the weights are {diverged}")
        row = {
            "epoch": epoch + 1,
            "images_seen": (epoch + 1) * self.steps * recipe.batch,
            "lr": rate,
            "loss": float(per_sample.mean()),
            "loss_clean": float(per_sample[~is_poison].mean()),
            "loss_poison": float(per_sample[is_poison].mean()),
        }
        due = (epoch + 1) % recipe.eval_every == 0 or epoch + 1 == recipe.epochs
        try:
            return row | (self.evaluate() if due else dict.fromkeys(("acc", "asr", "r_acc"), float("nan")))
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
        """ACC, ASR and R-Acc on the test set by weighted kNN on the clean training images."""
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
        }

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


def _identity(experiment: Experiment, device: torch.device) -> dict[str, Any]:
    """All that the bits of a run depend on, as plain JSON; its hash is the run hash."""
    return {
        "recipe": json.loads(json.dumps(experiment.recipe.to_dict())),
        "train": experiment.train.fingerprint(),
        "test": experiment.test.fingerprint(),
        "plan": experiment.plan.hash,
        "threads": torch.get_num_threads(),
        "device": device.type,
        "torch": str(torch.__version__),  # a subclass of str, which weights_only would refuse
    }


def _must_match(found: Any, wanted: dict[str, Any], out: Path) -> None:
    """Refuse to continue, or to take for done, a run that is not the one asked for."""
    if not isinstance(found, dict) or not isinstance(found.get("recipe"), dict):
        raise InputError(f"out: {out} holds a run that does not say what it is; choose another folder, or remove it")
    before, now = (d.get("recipe", {}) | {k: v for k, v in d.items() if k != "recipe"} for d in (found, wanted))
    changed = [f"{k} was {before.get(k)!r} and is {now.get(k)!r}" for k in now if before.get(k) != now.get(k)]
    if changed:
        raise InputError(
            f"out: {out} holds another run: {'; '.join(changed)}. Choose another folder, or remove this one"
        )


def _write_state(path: Path, state: dict[str, Any]) -> None:
    """The state after its own SHA-256, so that damage is told from content."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def _read_state(path: Path, epochs: int) -> dict[str, Any]:
    def corrupted(why: str) -> InputError:
        return InputError(f"out: {path} is corrupted ({why}); remove it to start this run again")

    data = path.read_bytes()
    digest, payload = data[:32], data[32:]
    if hashlib.sha256(payload).digest() != digest:
        raise corrupted("its SHA-256 does not fit its content")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError):
        raise corrupted("it is not a file of PyTorch's, or holds more than tensors and numbers") from None
    kinds = {"identity": dict, "epoch": int, "history": list, "spent": dict}
    kinds |= {"encoder": dict, "objective": dict, "optimiser": dict}
    fits = isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in kinds.items())
    if not fits or not 1 <= state["epoch"] <= epochs or len(state["history"]) != state["epoch"]:
        raise corrupted(f"it is not the state of a run of {epochs} epochs")
    return state
