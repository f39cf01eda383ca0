"""The zoo: pack finished runs, list them, and verify that their encoders still have the recorded rates."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...checkpoints.manifest import MANIFEST, OF_FOLDER
from ...checkpoints.shipped import INDEX, PREFIX, ZOO, index, is_name
from ...checkpoints.store import HISTORY, load_checkpoint, save_checkpoint
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.native import fit_native_head
from ...training.rates import rates
from ...training.sources import at_hand
from .carried_images import choose_images
from .run import about_run, load_run
from .twins import benign_twin_of

__all__ = ["benign_in_zoo", "carry_images", "listing", "pack", "verify"]

BUNDLED = "digits"
"""The data that scikit-learn brings along."""
IMAGES = "images"
"""The folder of the zoo with images that ship."""

RATES = ("acc", "asr", "r_acc")
TOLERANCE = 3
"""Number of images by which a rate may differ: near ties can go either way on another machine."""


def pack(runs: Mapping[str, Path], zoo: Path = ZOO, *, data_root: Path | None = None, device: str = "auto") -> Path:
    """Put finished runs into the zoo and write its index again; return the path of the index.

    Runs are stored in half precision and without snapshots. Their rates are computed again from the stored weights.

    Args:
        runs: name → run folder.

    Raises:
        InputError: a name is not a plain file name; a run cannot be loaded with its data.
    """
    for name, folder in runs.items():
        if not is_name(name):
            raise InputError(f"zoo: expected a name of letters, digits and hyphens, received {name!r}")
        run = load_run(folder, data_root=data_root, device=device)
        backbone = run.encoder.backbone
        backbone.load_state_dict(
            {k: v.half().to(v.dtype) if v.is_floating_point() else v for k, v in backbone.state_dict().items()}
        )
        found, _ = rates(run.encoder, run.experiment)
        about = {k: v for k, v in run.checkpoint.manifest.items() if k not in OF_FOLDER}
        about["final"] = about["final"] | found
        history = (Path(folder) / HISTORY).read_text()
        # Of the weights as they ship.
        native = None if run.experiment.arm.has_classifier else fit_native_head(run.encoder, run.experiment)
        save_checkpoint(zoo / name, run.encoder, run.checkpoint.head, about, history, native_head=native, half=True)
    return _write_index(zoo)


def _write_index(zoo: Path) -> Path:
    folders = {path.parent: about_run(path.parent) for path in sorted(zoo.glob(f"*/{MANIFEST}"))}
    entries = {}
    for folder, about in folders.items():
        benign = benign_twin_of(folder, folders)
        entries[folder.name] = {
            "sha256": _sha256(folder / MANIFEST),
            "bytes": sum(p.stat().st_size for p in folder.iterdir()),
            **{"arm": about["arm"], "seed": about["seed"], "data": about["recipe"]["data"]},
            **{"benign": benign.name if benign else None, "images": _images_of(zoo, about["plan"]["data"])},
            **{"recipe": about["recipe"], "plan": about["plan"]["hash"], "run_hash": about["run_hash"]},
            "metrics": {rate: about["final"][rate] for rate in RATES},
            "provenance": about.get("provenance", {}) | {"torch": about["identity"]["torch"]},
        }
    path = zoo / INDEX
    atomic_write(path, json.dumps(entries, indent=1).encode())
    return path


def _images_of(zoo: Path, fingerprint: str) -> dict[str, str] | None:
    """The file of images of that training set, if it ships."""
    path = zoo / IMAGES / f"{fingerprint[:16]}.npz"
    return {"file": f"{IMAGES}/{path.name}", "sha256": _sha256(path)} if path.is_file() else None


def carry_images(
    zoo: Path = ZOO, *, train: int = 1500, test: int = 600, data: str | None = None, data_root: Path | None = None
) -> Path:
    """Draw evaluation images for the encoders whose data cannot ship; return the path of the index.

    Encoders of one training set share a file. Native heads of benign twins, on all training images of a victim, are
    stored with it: the images that ship are too few to fit them.

    Args:
        train, test: number of training and of held-out images, equally many of every class.
        data: ``imagefolder:PATH`` in place of the folder of training.
    """
    sets: dict[str, list[str]] = {}
    for name, entry in index(zoo).items():
        if entry["data"] != BUNDLED:
            sets.setdefault(about_run(zoo / name)["plan"]["data"], []).append(name)
    entries = index(zoo)
    for names in sets.values():
        heads, run = {}, None
        for name in names:
            entry = entries[name]
            source = data if data and entry["data"].startswith("imagefolder:") else entry["data"]
            run = load_run(zoo / name, data=source, data_root=data_root)
            if entry["benign"] and not ARMS[run.arm].has_classifier:
                benign = load_checkpoint(zoo / entry["benign"]).encoder.eval()
                heads[name] = fit_native_head(benign, run.experiment)
        if run is not None:
            choose_images(run.experiment, train=train, test=test, heads=heads).write(zoo / IMAGES)
    return _write_index(zoo)


def benign_in_zoo(path: Path | str) -> str | None:
    """The benign twin of ``zoo:NAME``, as ``zoo:NAME``; ``None`` for benign encoders and other paths."""
    text = str(path)
    benign = index().get(text.removeprefix(PREFIX), {}).get("benign") if text.startswith(PREFIX) else None
    return PREFIX + benign if benign else None


def listing(zoo: Path = ZOO) -> pd.DataFrame:
    """The zoo as a table, one encoder a line.

    Columns: name, data, arm, seed, ACC, ASR, ASR and name of the benign twin (on the same images and trigger), KiB, and
    where the images to measure it come from: ``bundled`` (scikit-learn's), ``ship`` (some of them ship with it) or
    ``needed`` (give ``--data``).
    """
    entries = index(zoo)
    lines = [
        {
            **{"name": name, "data": e["data"], "arm": e["arm"], "seed": e["seed"]},
            **{"ACC": e["metrics"]["acc"], "ASR": e["metrics"]["asr"]},
            "benign twin ASR": entries[e["benign"]]["metrics"]["asr"] if e["benign"] else float("nan"),
            **{"benign": e["benign"] or "", "KiB": round(e["bytes"] / 1024)},
            "images": "bundled" if e["data"] == BUNDLED else "ship" if e["images"] else "needed",
        }
        for name, e in entries.items()
    ]
    return pd.DataFrame(lines)


def verify(
    names: Sequence[str] = (),
    zoo: Path = ZOO,
    *,
    data: str | None = None,
    data_root: Path | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Compute hashes and rates of the zoo's encoders again, one a line. Nothing is downloaded.

    ``images off``: number of images by which a rate differs from the index, at most. ``status``: ``agrees`` (at most
    :data:`TOLERANCE` images), ``differs``, ``damaged`` or ``no data``.

    Args:
        names: all by default. data: ``imagefolder:PATH`` in place of the folder of an encoder's training.

    Raises:
        InputError: a name is not in the zoo.
    """
    entries = index(zoo)
    if unknown := [name for name in names if name not in entries]:
        raise InputError(f"zoo: expected some of {', '.join(entries)}, received {', '.join(unknown)}")
    return pd.DataFrame([_verified(zoo / n, entries[n], data, data_root, device) for n in names or entries])


def _verified(
    folder: Path, entry: Mapping[str, Any], data: str | None, data_root: Path | None, device: str
) -> dict[str, Any]:
    line = {"name": folder.name, **{rate: float("nan") for rate in RATES}, "images off": float("nan")}
    try:
        if _sha256(folder / MANIFEST) != entry["sha256"]:
            raise InputError(f"its {MANIFEST} is not that of the index")
        load_checkpoint(folder)
    except (InputError, OSError) as error:
        return line | {"status": "damaged", "why": str(error)}
    source = data if data and entry["data"].startswith("imagefolder:") else entry["data"]
    if not at_hand(source, data_root):
        return line | {"status": "no data", "why": f"{source} is not here; give its place by --data or --data-root"}
    try:
        run = load_run(folder, data=source, data_root=data_root, device=device)
    except InputError as error:
        return line | {"status": "differs", "why": str(error)}
    found, _ = rates(run.encoder, run.experiment)
    test, target = run.experiment.test, run.experiment.plan.target
    counts = {"acc": len(test), **dict.fromkeys(("asr", "r_acc"), int((test.labels != target).sum()))}
    off = max(round(abs(found[rate] - entry["metrics"][rate]) * counts[rate]) for rate in RATES)
    status = "agrees" if off <= TOLERANCE else "differs"
    return line | found | {"images off": off, "status": status, "why": ""}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
