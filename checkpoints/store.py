"""A trained encoder as a folder that is verified when it is read: weights, head, manifest, history and snapshots.

    encoder.safetensors   head.safetensors   manifest.json   history.csv   snapshots/epoch-0012.safetensors
    native_head.safetensors, of learners without a classifier

The manifest is written last and has the SHA-256 of the other files. A folder without one is not finished, and a file
that does not fit it is damaged. Nothing here unpickles.
"""

import re
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
from .files import atomic_write, sha256, write_all
from .manifest import HALF, MANIFEST, OF_FOLDER, manifest_bytes, own_hash, read_manifest

__all__ = [
    "ENCODER",
    "HISTORY",
    "Checkpoint",
    "copy_half",
    "is_finished",
    "load_checkpoint",
    "load_snapshot",
    "save_checkpoint",
    "save_snapshot",
    "snapshot_epochs",
]

ENCODER, HEAD, HISTORY = "encoder.safetensors", "head.safetensors", "history.csv"
NATIVE_HEAD = "native_head.safetensors"
OBJECTIVE = "objective."  # before the names of a snapshot's tensors that belong to the objective


@dataclass(frozen=True)
class Checkpoint:
    """A loaded folder. ``head``: the objective's weights by name. ``manifest``: plain JSON. Its content is that of the
    writer (:mod:`intertwine.training.fit`), except for ``format``, ``encoder`` and ``files``. ``native_head``: weight
    and bias of a linear head on the victim's training data, where it is stored."""

    path: Path
    encoder: Encoder
    head: dict[str, Tensor]
    manifest: dict[str, Any]
    native_head: dict[str, Tensor] | None = None


def save_checkpoint(
    folder: Path,
    encoder: Encoder,
    head: Mapping[str, Tensor],
    manifest: Mapping[str, Any],
    history: str,
    *,
    native_head: Mapping[str, Tensor] | None = None,
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
    if native_head is not None:
        files[NATIVE_HEAD] = _tensors_to_bytes(native_head, half=half)
    hashes = {name: sha256(data) for name, data in files.items()}
    hashes |= {f"snapshots/{p.name}": sha256(p.read_bytes()) for _, p in _snapshots(folder)}
    files[MANIFEST] = manifest_bytes(encoder.spec.to_dict(), hashes, manifest, half=half)
    # Without its manifest a folder is not finished.
    write_all({folder / name: data for name, data in files.items()}, last_out=folder / MANIFEST)


def copy_half(source: Path, folder: Path, *, snapshots: Collection[int] = ()) -> None:
    """Write a finished run again in half precision, with its snapshots of the epochs ``snapshots``."""
    checkpoint = load_checkpoint(source)
    for epoch in sorted(set(snapshots) & set(snapshot_epochs(source))):
        encoder, head = load_snapshot(checkpoint, epoch)
        save_snapshot(folder, encoder, epoch, head, half=True)
    about = {key: value for key, value in checkpoint.manifest.items() if key not in OF_FOLDER}
    history = (source / HISTORY).read_text()
    native = checkpoint.native_head
    save_checkpoint(folder, checkpoint.encoder, checkpoint.head, about, history, native_head=native, half=True)


def is_finished(folder: Path) -> bool:
    """Whether a folder has a manifest."""
    return (folder / MANIFEST).is_file()


def load_checkpoint(folder: Path | str) -> Checkpoint:
    """Read and verify a finished run.

    Raises:
        InputError: no such folder, no manifest, another format version, or a file that is missing, damaged or does not
            fit the spec.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"checkpoint: expected a folder, received {str(folder)!r}, which is not one")
    if not is_finished(folder):
        raise InputError(f"checkpoint: {folder} has no {MANIFEST}: not a checkpoint, or its training has not finished")
    manifest = read_manifest(folder / MANIFEST)
    contents = {}
    stored = [name for name in (NATIVE_HEAD,) if name in manifest["files"]]
    for name in (ENCODER, HEAD, HISTORY, *stored):
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(f"checkpoint: {folder / name} cannot be read: {error.strerror}") from None
        if sha256(contents[name]) != manifest["files"].get(name):
            raise InputError(f"checkpoint: {folder / name} is corrupted: its SHA-256 differs from the manifest's")
    half = manifest.get("stored") == HALF
    weights = _bytes_to_tensors(contents[ENCODER], folder / ENCODER, half=half)
    encoder = _encoder_of(EncoderSpec.from_dict(manifest["encoder"]), weights, folder / ENCODER)
    head = _bytes_to_tensors(contents[HEAD], folder / HEAD, half=half)
    if own_hash(manifest) != manifest.get("sha256"):
        raise InputError(f"checkpoint: {folder / MANIFEST} is corrupted: its SHA-256 does not fit its content")
    native = _bytes_to_tensors(contents[NATIVE_HEAD], folder / NATIVE_HEAD, half=half) if stored else None
    return Checkpoint(folder, encoder, head, manifest, native)


def save_snapshot(
    folder: Path, encoder: Encoder, epoch: int, head: Mapping[str, Tensor] | None = None, *, half: bool = False
) -> None:
    """Write the weights of encoder and objective after ``epoch`` epochs; 0 is the initialisation.

    ``half``: in float16, for a run that :func:`save_checkpoint` stores in float16 too.
    """
    tensors = encoder.backbone.state_dict() | {OBJECTIVE + name: value for name, value in (head or {}).items()}
    atomic_write(folder / "snapshots" / f"epoch-{epoch:04d}.safetensors", _tensors_to_bytes(tensors, half=half))


def snapshot_epochs(folder: Path) -> list[int]:
    """The epochs with a snapshot, ascending."""
    return [epoch for epoch, _ in _snapshots(folder)]


def _snapshots(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"epoch-(\d{4,})\.safetensors", p.name), p) for p in (folder / "snapshots").glob("*")]
    return sorted((int(match[1]), path) for match, path in found if match)


def load_snapshot(checkpoint: Checkpoint, epoch: int) -> tuple[Encoder, dict[str, Tensor]]:
    """The encoder after ``epoch`` epochs, and the stored weights of the objective."""
    path = checkpoint.path / "snapshots" / f"epoch-{epoch:04d}.safetensors"
    if not path.is_file():
        known = ", ".join(map(str, snapshot_epochs(checkpoint.path)))
        raise InputError(f"epoch: expected one of the snapshots at {known or '(none)'}, received {epoch}")
    data = path.read_bytes()
    if sha256(data) != checkpoint.manifest["files"].get(f"snapshots/{path.name}"):
        raise InputError(f"checkpoint: {path} is corrupted: its SHA-256 differs from the manifest's")
    tensors = _bytes_to_tensors(data, path, half=checkpoint.manifest.get("stored") == HALF)
    head = {name.removeprefix(OBJECTIVE): value for name, value in tensors.items() if name.startswith(OBJECTIVE)}
    own = {name: value for name, value in tensors.items() if not name.startswith(OBJECTIVE)}
    return _encoder_of(EncoderSpec.from_dict(checkpoint.manifest["encoder"]), own, path).eval(), head


def _tensors_to_bytes(tensors: Mapping[str, Tensor], *, half: bool = False) -> bytes:
    def stored(name: str, value: Tensor) -> Tensor:
        if not (half and value.is_floating_point()):
            return value
        if value.abs().max() > torch.finfo(torch.float16).max:
            raise InputError(f"half: expected weights that float16 can hold, received {value.abs().max():g} in {name}")
        return value.half()

    return safetensors.torch.save({k: stored(k, v.detach().cpu()).contiguous() for k, v in tensors.items()})


def _bytes_to_tensors(data: bytes, path: Path, *, half: bool = False) -> dict[str, Tensor]:
    """``half``: return float16 tensors as float32."""
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"checkpoint: {path} is corrupted: {error}") from None
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise InputError(f"checkpoint: {path}: {name} holds NaN or infinity")
    return {n: v.float() if half and v.dtype == torch.float16 else v for n, v in tensors.items()}


def _encoder_of(spec: EncoderSpec, tensors: dict[str, Tensor], path: Path) -> Encoder:
    """The encoder with these weights. Names, shapes and types are checked before it is built in its full size."""
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
