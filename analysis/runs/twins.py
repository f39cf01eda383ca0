"""The benign twin of a run: the same learner without poison, by the same recipe on the same plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...checkpoints.store import ENCODER
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.recipe import EARLIER
from .run import Run

__all__ = ["benign_twin_of", "differing", "must_be_benign_twin"]


def benign_twin_of(folder: Path, about: Mapping[Path, Mapping[str, Any]]) -> Path | None:
    """The benign twin of ``folder`` among the runs of ``about`` (folder → manifest), or ``None``."""
    mine = about[folder]
    if not ARMS[mine["arm"]].is_poisoned:
        return None
    for other, theirs in about.items():
        same_plan = theirs["plan"].get("hash") == mine["plan"].get("hash")
        is_twin = theirs["arm"] == ARMS[mine["arm"]].benign and same_plan and not differing(mine, theirs)
        if is_twin and _same_start(mine, theirs):
            return other
    return None


def differing(
    mine: Mapping[str, Any], other: Mapping[str, Any], *, ignore: Sequence[str] = ("name", "arm")
) -> list[str]:
    """The fields in which the recipes of two runs differ, as text. Paired runs differ in name and arm only."""
    a, b = (EARLIER | manifest["recipe"] for manifest in (mine, other))
    return [
        f"{k} {b.get(k)!r} for {a.get(k)!r}" for k in a.keys() | b.keys() if k not in ignore and a.get(k) != b.get(k)
    ]


def _same_start(mine: Mapping[str, Any], twin: Mapping[str, Any]) -> bool:
    """Whether both began with the same encoder, or the run began with the twin. A model attack begins with any."""
    start, other = (manifest.get("identity", {}).get("start") for manifest in (mine, twin))
    is_start = start is not None and start == twin.get("files", {}).get(ENCODER)
    return ARMS[mine["arm"]].poison == "model" or start == other or is_start


def must_be_benign_twin(run: Run, benign: Run) -> None:
    """Check that ``benign`` is the benign twin of ``run``.

    Raises:
        InputError: it is of another arm, recipe or plan, or began with another encoder.
    """
    arm, other = run.experiment.recipe.arm, benign.experiment.recipe.arm
    expected = run.experiment.arm.benign
    if other != expected:
        raise InputError(f"benign twin: expected a run of {expected} for {arm}, received one of {other}")
    if fields := differing(run.checkpoint.manifest, benign.checkpoint.manifest):
        raise InputError(
            f"benign twin: expected the recipe of {run.name} except for the arm, received {'; '.join(fields)}"
        )
    if not _same_start(run.checkpoint.manifest, benign.checkpoint.manifest):
        started = [m.get("identity", {}).get("start") for m in (run.checkpoint.manifest, benign.checkpoint.manifest)]
        wanted, found = (f"the encoder {start[:12]}…" if start else "random weights" for start in started)
        raise InputError(
            f"benign twin: expected one that began, like {run.name}, with {wanted}, received one from {found}"
        )
    if run.experiment.plan != benign.experiment.plan:
        raise InputError(f"benign twin: expected the plan of {run.name}, received that of other data")
