"""The code and the machine of a run, to trace the origin of numbers.

They are not part of the run hash. :func:`.resume.identity_of` lists what the bits of a run depend on.
"""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import torch

__all__ = ["commit_of", "provenance"]


@cache
def provenance() -> dict[str, str | None]:
    """``version``, ``commit`` and ``machine`` as they were at the first call.

    ``commit``: of the checkout that the package is imported from, with ``+changes`` appended if files differ from it.
    Outside a checkout it is the environment variable ``INTERTWINE_COMMIT`` (for containers and copies), or ``None``.
    ``machine``: the processor, the number of cores that this process may use, and the accelerator. Call it before the
    work: a commit during the work is not the code that ran.
    """
    commit = commit_of(Path(__file__).resolve()) or os.environ.get("INTERTWINE_COMMIT")
    return {"version": _version(), "commit": commit, "machine": _machine()}


def _version() -> str:
    try:
        return importlib.metadata.version("intertwine")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def commit_of(file: Path) -> str | None:
    """The commit of the checkout that the file belongs to, or None."""
    folder = file.parent
    # An installed copy may be inside a checkout of another project: only files that git tracks count.
    if _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/*.py", ":/*.toml")
    return None if head is None else head + "+changes" * bool(changed)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    accelerator = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{model or platform.processor() or platform.machine()}, {cores} cores{accelerator}"
