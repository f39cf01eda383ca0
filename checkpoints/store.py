"""A trained encoder as a folder that can be trusted: weights, head, manifest, history and snapshots.

    encoder.safetensors   head.safetensors   manifest.json   history.csv   snapshots/epoch-0012.safetensors

The manifest is written last and holds the SHA-256 of the other files: a folder without one is not finished, and a file
that does not fit it is damaged. Nothing here unpickles.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..representations.encoders import Encoder, EncoderSpec, ResNet, build_encoder
from ..representations.errors import InputError

__all__ = [
    "FORMAT",
    "OF_FOLDER",
    "Checkpoint",
    "atomic_write",
    "clear_leftovers",
    "copy_half",
    "is_finished",
    "load_checkpoint",
    "load_snapshot",
    "save_checkpoint",
    "save_snapshot",
    "snapshot_epochs",
    "write_all",
]

FORMAT = 1
MANIFEST, ENCODER, HEAD, HISTORY = "manifest.json", "encoder.safetensors", "head.safetensors", "history.csv"
HALF = "float16"
OF_FOLDER = ("format", "encoder", "files", "sha256", "stored")
"""Keys of a manifest that saving writes anew."""
OBJECTIVE = "objective."  # before the names of a snapshot's tensors that are not the encoder's


@dataclass(frozen=True)
class Checkpoint:
    """A loaded folder. ``head`` holds the objective's weights by name; ``manifest`` is plain JSON, its content belongs
    to who wrote it (:mod:`intertwine.training.fit`) but for ``format``, ``encoder`` and ``files``."""

    path: Path
    encoder: Encoder
    head: dict[str, Tensor]
    manifest: dict[str, Any]


def atomic_write(path: Path, data: bytes) -> None:
    """All of ``data`` or the file as it was, whatever happens in between."""
    write_all({path: data})


def write_all(files: Mapping[Path, bytes], *, last_out: Path | None = None) -> None:
    """Every file under its name, in order, after all of them are on disk: a disk that is full harms none.

    Args:
        last_out: a file that is removed just before the first gets its name: the one that says that the folder is
            whole, where it is written last.
    """
    staged: list[tuple[str, Path]] = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            staged.append((name, path))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp's 0600 would surprise a colleague who is to read it
        if last_out is not None:
            last_out.unlink(missing_ok=True)
        for name, path in staged:
            os.replace(name, path)
    except BaseException:
        for name, _ in staged:
            Path(name).unlink(missing_ok=True)
        raise


def clear_leftovers(folder: Path) -> None:
    """Remove what writes cut short have left in the folder and its snapshots."""
    for pattern in (".*.safetensors.*", ".resume.pt.*", ".manifest.json.*", ".history.csv.*"):
        for path in [*folder.glob(pattern), *folder.glob(f"snapshots/{pattern}")]:
            path.unlink(missing_ok=True)


def save_checkpoint(
    folder: Path,
    encoder: Encoder,
    head: Mapping[str, Tensor],
    manifest: Mapping[str, Any],
    history: str,
    *,
    half: bool = False,
) -> None:
    """Write a finished run. ``history`` is the text of ``history.csv``; ``half``: store weights in float16."""
    if encoder.spec is None:
        raise InputError("encoder: a wrapped foreign module has no spec and cannot be saved")
    files = {
        ENCODER: _tensors_to_bytes(encoder.backbone.state_dict(), half=half),
        HEAD: _tensors_to_bytes(head, half=half),
        HISTORY: history.encode(),
    }
    hashes = {name: _sha256(data) for name, data in files.items()}
    hashes |= {f"snapshots/{p.name}": _sha256(p.read_bytes()) for _, p in _snapshots(folder)}
    # NaN is not JSON; a manifest that only Python can read is none.
    full = _finite({"format": FORMAT, "encoder": encoder.spec.to_dict(), "files": hashes} | dict(manifest))
    full |= {"stored": HALF} if half else {}
    files[MANIFEST] = json.dumps(full | {"sha256": _own_hash(full)}, indent=1, allow_nan=False).encode()
    # Without its manifest a folder is not finished.
    write_all({folder / name: data for name, data in files.items()}, last_out=folder / MANIFEST)


def copy_half(source: Path, folder: Path, *, snapshots: Collection[int] = ()) -> None:
    """A finished run again in half precision, with those of the epochs of ``snapshots`` that it has."""
    checkpoint = load_checkpoint(source)
    for epoch in sorted(set(snapshots) & set(snapshot_epochs(source))):
        encoder, head = load_snapshot(checkpoint, epoch)
        save_snapshot(folder, encoder, epoch, head, half=True)
    about = {key: value for key, value in checkpoint.manifest.items() if key not in OF_FOLDER}
    history = (source / HISTORY).read_text()
    save_checkpoint(folder, checkpoint.encoder, checkpoint.head, about, history, half=True)


def is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def load_checkpoint(folder: Path | str) -> Checkpoint:
    """Read and verify a finished run.

    Raises:
        InputError: no such folder, no manifest, another format version, a file missing, damaged or not fitting the
            spec.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"checkpoint: expected a folder, received {str(folder)!r}, which is not one")
    if not is_finished(folder):
        raise InputError(f"checkpoint: {folder} has no {MANIFEST}: not a checkpoint, or its training has not finished")
    manifest = _read_manifest(folder / MANIFEST)
    contents = {}
    for name in (ENCODER, HEAD, HISTORY):
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(f"checkpoint: {folder / name} cannot be read: {error.strerror}") from None
        if _sha256(contents[name]) != manifest["files"].get(name):
            raise InputError(f"checkpoint: {folder / name} is corrupted: its SHA-256 differs from the manifest's")
    half = manifest.get("stored") == HALF
    weights = _bytes_to_tensors(contents[ENCODER], folder / ENCODER, half=half)
    encoder = _encoder_of(EncoderSpec.from_dict(manifest["encoder"]), weights, folder / ENCODER)
    head = _bytes_to_tensors(contents[HEAD], folder / HEAD, half=half)
    if _own_hash(manifest) != manifest.get("sha256"):
        raise InputError(f"checkpoint: {folder / MANIFEST} is corrupted: its SHA-256 does not fit its content")
    return Checkpoint(folder, encoder, head, manifest)


def save_snapshot(
    folder: Path, encoder: Encoder, epoch: int, head: Mapping[str, Tensor] | None = None, *, half: bool = False
) -> None:
    """The encoder's weights after ``epoch`` epochs, 0 being the initialisation, and the objective's of that time.
    ``half``: in float16, for a run that :func:`save_checkpoint` will store so too."""
    tensors = encoder.backbone.state_dict() | {OBJECTIVE + name: value for name, value in (head or {}).items()}
    atomic_write(folder / "snapshots" / f"epoch-{epoch:04d}.safetensors", _tensors_to_bytes(tensors, half=half))


def snapshot_epochs(folder: Path) -> list[int]:
    """The epochs whose encoder was kept, ascending."""
    return [epoch for epoch, _ in _snapshots(folder)]


def _snapshots(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"epoch-(\d{4,})\.safetensors", p.name), p) for p in (folder / "snapshots").glob("*")]
    return sorted((int(match[1]), path) for match, path in found if match)


def load_snapshot(checkpoint: Checkpoint, epoch: int) -> tuple[Encoder, dict[str, Tensor]]:
    """The encoder as it was after ``epoch`` epochs, and what was kept of the objective's weights."""
    path = checkpoint.path / "snapshots" / f"epoch-{epoch:04d}.safetensors"
    if not path.is_file():
        there = ", ".join(map(str, snapshot_epochs(checkpoint.path)))
        raise InputError(f"epoch: expected one of the snapshots at {there or '(none)'}, received {epoch}")
    data = path.read_bytes()
    if _sha256(data) != checkpoint.manifest["files"].get(f"snapshots/{path.name}"):
        raise InputError(f"checkpoint: {path} is corrupted: its SHA-256 differs from the manifest's")
    tensors = _bytes_to_tensors(data, path, half=checkpoint.manifest.get("stored") == HALF)
    head = {name.removeprefix(OBJECTIVE): value for name, value in tensors.items() if name.startswith(OBJECTIVE)}
    own = {name: value for name, value in tensors.items() if not name.startswith(OBJECTIVE)}
    return _encoder_of(EncoderSpec.from_dict(checkpoint.manifest["encoder"]), own, path).eval(), head


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"checkpoint: {path} is corrupted: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise InputError(f"checkpoint: {path}: expected format {FORMAT}, received {found!r}")
    for key in ("encoder", "files"):
        if not isinstance(manifest.get(key), dict):
            raise InputError(f"checkpoint: {path}: expected a table {key!r}, received {manifest.get(key)!r}")
    return manifest


def _tensors_to_bytes(tensors: Mapping[str, Tensor], *, half: bool = False) -> bytes:
    def stored(name: str, value: Tensor) -> Tensor:
        if not (half and value.is_floating_point()):
            return value
        if value.abs().max() > torch.finfo(torch.float16).max:
            raise InputError(f"half: expected weights that float16 can hold, received {value.abs().max():g} in {name}")
        return value.half()

    return safetensors.torch.save({k: stored(k, v.detach().cpu()).contiguous() for k, v in tensors.items()})


def _bytes_to_tensors(data: bytes, path: Path, *, half: bool = False) -> dict[str, Tensor]:
    """``half``: those in float16 as float32."""
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"checkpoint: {path} is corrupted: {error}") from None
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise InputError(f"checkpoint: {path}: {name} holds NaN or infinity")
    return {n: v.float() if half and v.dtype == torch.float16 else v for n, v in tensors.items()}


def _encoder_of(spec: EncoderSpec, tensors: dict[str, Tensor], path: Path) -> Encoder:
    """The encoder with these weights. Names, shapes and types are checked before anything of the spec's size is
    built."""
    with torch.device("meta"):
        expected = ResNet(spec.arch, spec.width).state_dict()
    if missing := sorted(set(expected) - set(tensors)):
        raise InputError(
            f"checkpoint: {path} lacks {len(missing)} of the encoder's tensors: {', '.join(missing[:5])} …"
        )
    if extra := sorted(set(tensors) - set(expected)):
        raise InputError(
            f"checkpoint: {path} holds {len(extra)} tensors that the encoder has not: {', '.join(extra[:5])} …"
        )
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            raise InputError(
                f"checkpoint: {path}: {name}: expected shape {tuple(expected[name].shape)}, "
                f"received {tuple(value.shape)}"
            )
        if value.dtype != expected[name].dtype:
            raise InputError(f"checkpoint: {path}: {name}: expected {expected[name].dtype}, received {value.dtype}")
    encoder = build_encoder(spec)
    encoder.backbone.load_state_dict(tensors)
    return encoder


def _finite(value: Any) -> Any:
    """The same with NaN and infinity as null, all the way down."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _own_hash(manifest: Mapping[str, Any]) -> str:
    return _sha256(json.dumps({k: v for k, v in manifest.items() if k != "sha256"}, sort_keys=True).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
