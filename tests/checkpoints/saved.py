"""A small run as the store saves it, and what a careless or hostile writer does to its folder."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from intertwine.checkpoints import (
    load_checkpoint,
    save_checkpoint,
    save_snapshot,
)
from intertwine.representations.encoders import EncoderSpec, build_encoder
from intertwine.representations.errors import InputError

from tests.factories import one_line, rand

SPEC = EncoderSpec("resnet8", 3, 16, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


HISTORY = "epoch,loss\n1,0.5\n2,\n"


IMAGES = rand(1, 6, 3, 16, 16)


FILES = ("encoder.safetensors", "head.safetensors", "history.csv")


def trained(spec=SPEC, seed=0):
    """An encoder whose BatchNorm statistics are not those of a new one."""
    encoder = build_encoder(spec, seed=seed).train()
    with torch.no_grad():
        encoder(rand(1, 40, 3, spec.image_size, spec.image_size))
    return encoder.eval()


def save(folder: Path, spec=SPEC, seed=0, **manifest) -> Path:
    encoder = trained(spec, seed)
    for epoch in (0, 1, 12):
        save_snapshot(folder, build_encoder(spec, seed=100 + epoch), epoch)
    head = {"head.weight": torch.arange(6.0).view(2, 3), "head.steps": torch.tensor(7)}
    save_checkpoint(folder, encoder, head, manifest, HISTORY)
    return folder


def refused(folder: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_checkpoint(folder)
    one_line(caught.value)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the file as it is now: load_file would map it, and the tests overwrite it."""
    return safetensors.torch.load((folder / "encoder.safetensors").read_bytes())


def rewrite(folder: Path, **changes) -> None:
    manifest = {k: v for k, v in (manifest_of(folder) | changes).items() if k != "sha256"}
    own = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": own}))


@contextlib.contextmanager
def intact(folder: Path) -> Iterator[None]:
    """Whatever is done to the folder inside: afterwards it is as it was."""
    copy = Path(shutil.copytree(folder, folder.with_name("as it was")))
    try:
        yield
    finally:
        shutil.rmtree(folder)
        copy.rename(folder)


def put(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Replace a file of tensors and make the manifest fit it, as a foreign or hostile writer would."""
    data = safetensors.torch.save(tensors)
    (folder / name).write_bytes(data)
    files = manifest_of(folder)["files"] | {name: hashlib.sha256(data).hexdigest()}
    rewrite(folder, files=files)
