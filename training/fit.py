"""Train one arm. A run that is killed can be continued: on a CPU in float32 to the same bits.

Random streams are functions of seed, epoch and step, and the learning rate is a function of the step. The state between
epochs is weights, the optimiser's moments and the history. One file stores it.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..checkpoints.files import clear_leftovers
from ..checkpoints.store import is_finished, load_checkpoint, save_checkpoint, save_snapshot
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from .experiment import Experiment, prepare
from .loop import Training
from .native import fit_native_head
from .provenance import provenance
from .ranks import rank, world_size
from .recipe import Recipe
from .resume import STATE, identity_of, must_match, read_state, write_state
from .schedule import snapshot_schedule
from .start import read_start

__all__ = ["fit", "pick_device"]


def fit(
    recipe: Recipe,
    out: Path | str,
    *,
    start: Path | str | None = None,
    data_root: Path | str | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    on_epoch: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> Path:
    """Train ``recipe`` into the checkpoint folder ``out`` and return it. Continue a run of it that was interrupted.

    Under ``torchrun`` every process makes the same call, in one shared folder, and the first one writes.

    Args:
        start: what to begin with in place of a random encoder, see :func:`.start.read_start`. A model attack needs the
            run folder of a benign encoder.
        on_epoch: called after each epoch with the number of epochs so far, the number of all epochs, and the row of
            ``history.csv``.

    Raises:
        InputError: bad data or plan; ``out`` holds another run (what differs is named); the loss is no longer finite.
    """
    out, place = Path(out), pick_device(device)
    origin = provenance()
    experiment = prepare(recipe, data_root=data_root, skip_unreadable=skip_unreadable)
    initial, start_hash = _start(experiment, start)
    identity = identity_of(experiment, place, start_hash)
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
    if recipe.batch % world_size():
        raise InputError(f"batch: expected a multiple of the {world_size()} processes, received {recipe.batch}")
    training = Training(experiment, place, initial)
    epochs, writes = training.schedule.epochs, rank() == 0
    done, history, spent = 0, [], {"wall": 0.0, "cpu": 0.0}
    stored = hashlib.sha256((out / STATE).read_bytes()).hexdigest() if (out / STATE).is_file() else ""
    if training.of_first(stored) != stored:
        raise InputError(f"out: expected a folder that all processes share, received another {out} in process {rank()}")
    if stored:
        state = read_state(out / STATE, epochs)
        must_match(state["identity"], identity, out)
        try:
            training.load(state)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"out: {out / STATE} is corrupted (it does not fit this run); remove it to start this run again"
            ) from None
        done, history, spent = state["epoch"], state["history"], state["spent"]
    training.wait()  # before any file is written or removed
    if writes:
        clear_leftovers(out)
        if not done:
            shutil.rmtree(out / "snapshots", ignore_errors=True)  # of an abandoned run
            save_snapshot(out, training.encoder, 0, training.heads())
    wall, cpu = time.perf_counter() - spent["wall"], time.process_time() - spent["cpu"]
    for epoch in range(done, epochs):
        row = training.epoch(epoch)
        history.append(row)
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        if writes:
            if epoch + 1 in snapshot_schedule(epochs):
                save_snapshot(out, training.encoder, epoch + 1, training.heads())
            state = training.state() | {"identity": identity, "epoch": epoch + 1, "history": history, "spent": spent}
            write_state(out / STATE, state)
            if on_epoch:
                on_epoch(epoch + 1, epochs, row)
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
        "provenance": origin,
    }
    if writes:
        heads, text = training.objective.state_dict(), pd.DataFrame(history).to_csv(index=False)
        native = None if experiment.arm.has_classifier else fit_native_head(training.encoder, experiment)
        save_checkpoint(out, training.encoder, heads, manifest, text, native_head=native)
        (out / STATE).unlink(missing_ok=True)
    training.wait()  # for the files of the first process
    return out


def _start(experiment: Experiment, start: Path | str | None) -> tuple[Encoder | None, str | None]:
    """The encoder that training begins with, and its hash; a model attack needs one."""
    if start is not None:
        return read_start(start, experiment.recipe)
    if experiment.arm.poison == "model":
        wanted = f"the run folder of a benign encoder, for instance one of {experiment.arm.benign},"
        raise InputError(f"start: expected {wanted} for {experiment.recipe.arm}, received none")
    return None, None


def pick_device(device: str) -> torch.device:
    """The device of ``auto``, ``cpu`` or ``cuda``."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"device: expected auto, cpu or cuda, received {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: expected a CUDA device for 'cuda', but PyTorch sees none")
    return torch.device("cuda", 0) if device == "cuda" else torch.device("cpu")  # with its index, as tensors have it
