"""The full part for a GPU that is lent for minutes at a time: what is needed most first, several runs at once.

    python docs/evidence/slices.py runs/full --data imagefolder:PATH --parts ctrl --minutes 8 --jobs 3 --pack DIR

The same command goes on where time ran out, as long as ``runs/full`` is there; nothing of a run that is not finished
leaves the machine. Finished ones lie in DIR: their histories, and the runs themselves in half precision in archives
small enough to be carried away. Unpacked (``tar -xf``) these are finished runs, for ``intertwine compare`` and
``pack_zoo.py``. An encoder too large for an archive stays behind: its history and manifest are told all the same.
"""

import argparse
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from intertwine.checkpoints.store import HISTORY, copy_half, is_finished, load_checkpoint

SUPERVISED = ("clean-supervised", "supervised-dirty", "supervised-clean")
PAIR = ("contrastive", "clean-contrastive")
SUPCON = ("clean-supcon", "supcon-dirty", "supcon-clean")
SHORT = {"epochs": "200", "precision": "bf16"}
PARTS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "ctrl": ("cifar10-half-ctrl", (*PAIR, *SUPERVISED), {}),
    "standard": ("cifar10-standard", ("clean-contrastive",), SHORT),
    "ctrl-supcon": ("cifar10-half-ctrl", SUPCON, {}),
    "patch": ("cifar10-half-patch", (*PAIR, *SUPERVISED, *SUPCON), {}),
    "methods": ("cifar10-half-ctrl", ("byol", "clean-byol", "moco", "clean-moco"), {}),
    # Not 800 epochs: ASR then stands beside the published one as under another protocol.
    "official-200": ("cifar10-ctrl-official", PAIR, SHORT),
    "official": ("cifar10-ctrl-official", PAIR, {}),
}
"""Part → recipe, arms, fields changed; in the order in which they are needed."""
MOST_BYTES = 15 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--parts", default="ctrl", help=", ".join(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no run goes on")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--snapshots", default="", help="epochs of the contrastive pair that are packed too: 8,50")
    asked, rest = parser.parse_known_args()  # the rest are fields of the recipe, and options of `intertwine train`
    commands = [c for part in asked.parts.split(",") for c in trainings(part, asked.out, asked.data, rest)]
    run_until(time.monotonic() + 60 * asked.minutes, commands, asked.jobs)
    finished = [run for part in PARTS for run in sorted((asked.out / part).glob("*/seed*")) if is_finished(run)]
    pack(finished, asked.out, asked.pack, {int(epoch) for epoch in asked.snapshots.split(",") if epoch})


def trainings(part: str, out: Path, data: str, rest: list[str]) -> Iterator[list[str]]:
    recipe, arms, changes = PARTS[part]
    options = [word for field, value in changes.items() for word in (f"--{field}", value)]
    for arm in arms:
        run = out / part / arm / "seed0"
        if not is_finished(run):
            yield ["intertwine", "train", recipe, "--arm", arm, "--data", data, "--out", str(run), *options, *rest]


def run_until(deadline: float, commands: list[list[str]], jobs: int) -> None:
    """All commands, ``jobs`` at once, until they are done or time is up: then what runs is stopped, and nothing lost
    but the epoch in hand. A command that fails is told, and the others go on."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        while (commands or running) and time.monotonic() < deadline:
            while commands and len(running) < jobs:
                running.append(subprocess.Popen(commands.pop(0)))
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                running.remove(process)
                if process.returncode:
                    print("failed:", " ".join(map(str, process.args)), flush=True)  # type: ignore[arg-type]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    if left := len(commands) + len(running):
        print(f"time is up with {left} runs unfinished; the same command goes on with them", flush=True)


def pack(runs: list[Path], out: Path, to: Path, epochs: set[int]) -> None:
    """Manifests and histories of all runs, and those that are small enough in half precision, in archives."""
    to.mkdir(parents=True, exist_ok=True)
    manifests = {str(run.relative_to(out)): load_checkpoint(run).manifest for run in runs}
    (to / "manifests.json").write_text(json.dumps(manifests, indent=1))
    histories = [pd.read_csv(run / HISTORY).assign(run=run.relative_to(out)) for run in runs]
    if histories:
        pd.concat(histories).to_csv(to / "histories.csv", index=False)
    archives: list[list[Path]] = [[]]
    for run in runs:
        half = out / "half" / run.relative_to(out)
        copy_half(run, half, snapshots=epochs if run.parent.name in PAIR else set())
        files = sorted(path for path in half.rglob("*") if path.is_file())
        if max(map(size, files)) > MOST_BYTES:
            print(f"stays behind, for its size: {run}", flush=True)
            continue
        for path in files:
            if sum(map(size, (*archives[-1], path))) > MOST_BYTES:
                archives.append([])
            archives[-1].append(path)
    archives = [files for files in archives if files]
    for number, files in enumerate(archives):
        with tarfile.open(to / f"runs-{number}.tar", "w") as archive:
            for path in files:
                archive.add(path, path.relative_to(out / "half"))
    print(f"{len(runs)} finished runs, {len(archives)} archive(s) in {to}", flush=True)


def size(path: Path) -> int:
    return path.stat().st_size


if __name__ == "__main__":
    main()
