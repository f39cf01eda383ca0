"""The state of an interrupted run: one file, which is checked for damage and against the recipe."""

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.files import atomic_write
from ..representations.errors import InputError
from .experiment import Experiment
from .ranks import world_size
from .recipe import EARLIER

__all__ = ["STATE", "device_name", "identity_of", "must_match", "read_state", "write_state"]

STATE = "resume.pt"


def identity_of(experiment: Experiment, device: torch.device, start: str | None = None) -> dict[str, Any]:
    """All that the bits of a run depend on, as plain JSON. Its hash is the run hash.

    ``start``: SHA-256 of the weights that training begins with, if they are not random.
    """
    return {
        "recipe": json.loads(json.dumps(experiment.recipe.to_dict())),
        "train": experiment.train.fingerprint(),
        "test": experiment.test.fingerprint(),
        "plan": experiment.plan.hash,
        "threads": torch.get_num_threads(),
        "device": device_name(device),
        "processes": world_size(),
        "start": start,
        "torch": str(torch.__version__),  # a subclass of str, which weights_only would refuse
    }


def device_name(device: torch.device) -> str:
    """``cpu``, or the model of the accelerator: bits differ between models."""
    return device.type if device.type == "cpu" else torch.cuda.get_device_name(device)


def must_match(found: Any, wanted: dict[str, Any], out: Path) -> None:
    """Raise an error if the run in ``out`` is not the requested one."""
    if not isinstance(found, dict) or not isinstance(found.get("recipe"), dict):
        raise InputError(f"out: {out} holds a run without an identity; choose another folder, or remove it")
    before, now = (EARLIER | d["recipe"] | {k: v for k, v in d.items() if k != "recipe"} for d in (found, wanted))
    changed = [f"{k} was {before.get(k)!r} and is {now.get(k)!r}" for k in now if before.get(k) != now.get(k)]
    if changed:
        raise InputError(
            f"out: {out} holds another run: {'; '.join(changed)}. Choose another folder, or remove this one"
        )


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state after its own SHA-256, which detects damage."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def read_state(path: Path, epochs: int) -> dict[str, Any]:
    """Read a state that :func:`write_state` wrote, if it is whole and of a run of ``epochs`` epochs."""

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
    kinds |= {"encoder": dict, "objective": dict, "optimiser": dict, "scaler": dict}
    fits = isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in kinds.items())
    if not fits or not 1 <= state["epoch"] <= epochs or len(state["history"]) != state["epoch"]:
        raise corrupted(f"it is not the state of a run of {epochs} epochs")
    return state
