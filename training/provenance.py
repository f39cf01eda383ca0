"""What a run was made with beside its recipe: the code and the machine, for whoever must find a number's origin. No
part of the run hash: bits depend on what :func:`.resume.identity_of` lists."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["provenance"]


@cache
def provenance() -> dict[str, str | None]:
    """``version`` of the package; ``commit`` of the checkout that it is imported from, with ``+changes`` behind it
    where files differ from it, and ``None`` where it is no checkout; ``machine``: processor and number of cores that
    this process may use."""
    return {"version": _version(), "commit": _commit(Path(__file__).resolve().parent), "machine": _machine()}


def _version() -> str:
    try:
        return importlib.metadata.version("intertwine")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _commit(folder: Path) -> str | None:
    # An installed copy may lie below a checkout of something else: only files that git knows count.
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    head = _git(folder, "rev-parse", "HEAD")
    return None if head is None else head + "+changes" * bool(_git(folder, "status", "--porcelain", "-uno", ":/*.py"))


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
    return f"{model or platform.processor() or platform.machine()}, {cores} cores"
