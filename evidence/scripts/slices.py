"""Train the full part on a GPU that is lent for minutes at a time: the most needed first, several runs at once.

    python -m evidence.scripts.slices runs/full --data imagefolder:data/cifar10 --parts sig --minutes 8 --pack DIR

Set ``INTERTWINE_COMMIT`` if the checkout there has no git. The same command continues where time ran out, as long as
``runs/full`` is there. DIR then holds ``manifests.json`` and ``histories.csv`` of all runs, unfinished ones too, with
the seconds that an epoch takes; and finished runs in half precision as one archive in pieces, each run once. At home
``cat runs-1.tar.* | tar -x -C runs/full`` restores the runs of the first call for ``intertwine compare`` and
``pack_zoo``, if the data lies at the same relative path; rates in a manifest are those before rounding.
``--parts ctrl:simclr-benign+simclr-clean`` trains only these arms of a part.

On one H100 with 16 cores (2026-11-28, commit 06230c2) SimCLR alone took 2.0 s an epoch at half width and 2.1 s at
full, of which the GPU computed 1.1 and 1.8; with ``--compile true`` 1.7 and .7 at half. Five arms at half width at once
took 3.0 to 4.0 s an epoch each, after 40 s of imports, decoding and compiling. ``official-half`` was done so, in two
calls of 578 and 134 s, with ``--epochs 160 --warmup 0.0625 --compile true --jobs 5``.
"""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from intertwine.checkpoints.store import HISTORY, copy_half, is_finished, load_checkpoint
from intertwine.representations.errors import InputError
from intertwine.training.resume import STATE, read_state

INTERTWINE = [sys.executable, "-c", "from intertwine.analysis.cli.app import main; main()"]
SUPERVISED = ("supervised-benign", "supervised-dirty", "supervised-clean")
PAIR = ("simclr-clean", "simclr-benign")
SUPCON = ("supcon-benign", "supcon-dirty", "supcon-clean")
SHORT = {"epochs": "200", "precision": "bf16", "eval-every": "20"}
HALF = {"width": "32", "hidden": "256"}
# As in cifar10-small, but for the target.
SIG = {"trigger": "sinusoid", "strength": "40", "test-strength": "40", "crop": "0.4", "eval-every": "20"}
SIG |= {"poison-fraction": "0.5", "poison-base": "target_class"}
# Not 800 epochs: its ASR then compares with the published one as under another protocol. Ten of them warm up, as there.
OFFICIAL = {**SHORT, "warmup": "0.05"}
PARTS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    # First an attack that small networks learn: an arm whose backdoor fails is no evidence for the claims.
    "sig": ("cifar10-half-ctrl", (*PAIR, *SUPERVISED), SIG),
    "ctrl": ("cifar10-half-ctrl", (*PAIR, *SUPERVISED), {}),
    "standard": ("cifar10-standard", ("simclr-benign",), SHORT),
    "ctrl-supcon": ("cifar10-half-ctrl", SUPCON, {}),
    "patch": ("cifar10-half-patch", (*PAIR, *SUPERVISED, *SUPCON), {}),
    "methods": ("cifar10-half-ctrl", ("byol-clean", "byol-benign", "moco-clean", "moco-benign"), {}),
    "official-half": ("cifar10-ctrl-official", (*PAIR, *SUPERVISED), OFFICIAL | HALF),
    "official-200": ("cifar10-ctrl-official", PAIR, OFFICIAL),
    "official": ("cifar10-ctrl-official", PAIR, {}),
}
"""Part → recipe, arms, fields changed; in the order in which they are needed."""
PACKED = "packed.json"
PIECE = 15 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--parts", default="sig", help=f"PART or PART:ARM+ARM, of {', '.join(PARTS)}")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no run goes on")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--pieces", type=int, default=4, help="of 15 MiB, at most")
    parser.add_argument("--snapshots", default="", help="epochs of the contrastive pair that are packed too: 8,50")
    asked, rest = parser.parse_known_args()  # the rest are fields of the recipe, and options of `intertwine train`
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended with this
    deadline, failed = time.monotonic() + 60 * asked.minutes, 0
    for name in (part.partition(":")[0] for part in asked.parts.split(",")):
        if name not in PARTS:
            parser.error(f"--parts: expected some of {', '.join(PARTS)}, received {name!r}")
    runs = [run for part in asked.parts.split(",") for run in runs_of(part, asked.out, asked.seeds.split(","))]
    threads = ["--threads", str(max(1, len(os.sched_getaffinity(0)) // asked.jobs))]
    failed += run_until(deadline, [training(run, asked.data, [*threads, *rest]) for run in runs], asked.jobs)
    everything = [run for part in PARTS for run in sorted((asked.out / part).glob("*/seed*"))]
    pack(everything, asked.out, asked.pack, asked.pieces, {int(epoch) for epoch in asked.snapshots.split(",") if epoch})
    sys.exit(1 if failed else 0)


def runs_of(asked: str, out: Path, seeds: Sequence[str]) -> Iterator[tuple[str, str, str, Path]]:
    """``asked``: a part, or some arms of it, ``PART:ARM+ARM``."""
    part, _, arms = asked.partition(":")
    for seed in seeds:
        for arm in arms.split("+") if arms else PARTS[part][1]:
            yield part, arm, seed, out / part / arm / f"seed{seed}"


def training(run: tuple[str, str, str, Path], data: str, rest: Sequence[str]) -> list[str]:
    part, arm, seed, folder = run
    recipe, _, changes = PARTS[part]
    options = [word for field, value in changes.items() for word in (f"--{field}", value)]
    about = ["--arm", arm, "--seed", seed, "--data", data, "--out", str(folder)]
    return [] if is_finished(folder) else [*INTERTWINE, "train", recipe, *about, *options, *rest]


def run_until(deadline: float, commands: list[list[str]], jobs: int) -> int:
    """All commands, ``jobs`` at once, until they are done or time is up: then what runs is stopped, and nothing lost
    but the epoch in hand. Print a command that fails and go on with the others; return how many did."""
    commands = [command for command in commands if command]
    running: list[subprocess.Popen[bytes]] = []
    failed = 0
    try:
        while (commands or running) and time.monotonic() < deadline:
            while commands and len(running) < jobs:
                running.append(subprocess.Popen(commands.pop(0)))
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                running.remove(process)
                if process.returncode:
                    failed += 1
                    print("failed:", process.args, flush=True)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    if left := len(commands) + len(running):
        print(f"time is up with {left} commands unfinished; the same command goes on with them", flush=True)
    return failed


def pack(runs: list[Path], out: Path, to: Path, pieces: int, epochs: set[int]) -> None:
    """Manifests and histories of all runs, and the finished ones that were not packed before and have room."""
    for folder in (out, to):
        folder.mkdir(parents=True, exist_ok=True)
    found, histories = {}, []
    before = json.loads((out / PACKED).read_text()) if (out / PACKED).is_file() else []
    call = 1 + max((entry["call"] for entry in before), default=0)
    archived, stream = [], Pieces(to, f"runs-{call}.tar", pieces)
    for run in runs:
        name = str(run.relative_to(out))
        try:
            about, history = state_of(run)
            found[name] = about
            histories.append(history.assign(run=name))
            print(f"{name}: {about['epochs done']} epochs, {about['seconds an epoch']:.2f} s each", flush=True)
            if is_finished(run) and name not in (entry["run"] for entry in before):
                half = out / "half" / name
                shutil.rmtree(half, ignore_errors=True)
                copy_half(run, half, snapshots=epochs if run.parent.name in PAIR else set())
                archived += [name] if stream.add(half, name) else []
        except (InputError, OSError) as error:  # the others must get home
            print(f"not packed: {name}: {error}", flush=True)
    stream.close()
    (to / "manifests.json").write_text(json.dumps(found, indent=1))
    if histories:
        pd.concat(histories).to_csv(to / "histories.csv", index=False)
    (out / PACKED).write_text(json.dumps([*before, *({"call": call, "run": name} for name in archived)]))
    print(f"packed now: {', '.join(archived) or 'nothing'}", flush=True)


def state_of(run: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The manifest and history of a run, or what there is of an unfinished one; with how far it is, and its pace."""
    if is_finished(run):
        about, history = load_checkpoint(run).manifest, pd.read_csv(run / HISTORY)
        spent = about["seconds"]
    else:
        state = read_state(run / STATE, 10**9)
        about, history, spent = {"identity": state["identity"]}, pd.DataFrame(state["history"]), state["spent"]
    pace = spent["wall"] / len(history)
    return about | {"finished": is_finished(run), "epochs done": len(history), "seconds an epoch": pace}, history


class Pieces:
    """One tar archive, cut into files of :data:`PIECE` bytes; what does not fit into ``most`` of them is left out."""

    def __init__(self, folder: Path, name: str, most: int) -> None:
        self.folder, self.name, self.most, self.written = folder, name, most * PIECE, io.BytesIO()
        self.archive = tarfile.open(fileobj=self.written, mode="w")  # noqa: SIM115

    def add(self, path: Path, name: str) -> bool:
        room = self.most - self.written.tell() - (1 << 16)  # of headers, and the end of the archive
        if sum(p.stat().st_size for p in path.rglob("*")) > room:
            print(f"no room for {name}: the same command packs it next time", flush=True)
            return False
        self.archive.add(path, name)
        return True

    def close(self) -> None:
        any_there = bool(self.archive.getmembers())
        self.archive.close()
        data = self.written.getvalue() if any_there else b""
        for number in range(0, len(data), PIECE):
            (self.folder / f"{self.name}.{number // PIECE:02d}").write_bytes(data[number : number + PIECE])


if __name__ == "__main__":
    main()
