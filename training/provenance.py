"""What a run was made with beside its recipe: the code and the machine, for whoever must find a number's origin. No
part of the run hash: bits depend on what :func:`.resume.identity_of` lists."""

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
    """``version`` of the package; ``commit`` of the checkout that it is imported from, with ``+changes`` behind it
    where files differ from it, and where it is no checkout what the environment variable ``INTERTWINE_COMMIT`` says
    (for containers and copies), or ``None``; ``machine``: processor and number of cores that
    this process may use, and the accelerator.

    As at the first call, which is to come before the work: a commit made meanwhile is not what ran.
    """
    commit = commit_of(Path(__file__).resolve()) or os.environ.get("INTERTWINE_COMMIT")
    return {"version": _version(), "commit": commit, "machine": _machine()}


def _version() -> str:
    try:
        return importlib.metadata.version("intertwine")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def commit_of(file: Path) -> str | None:
    """Of the checkout that the file belongs to."""
    folder = file.parent
    # An installed copy may lie below a checkout of something else: only files that git knows count.
    if _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/*.py", ":/*.toml")
    return None if head is None else head + "+changes" * bool(changed)


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    accelerator = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{model or platform.processor() or platform.machine()}, {cores} cores{accelerator}"
