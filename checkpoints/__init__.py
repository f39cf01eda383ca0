"""Checkpoints: folders that are written whole, verified when they are read and never unpickled; and foreign ones.

from intertwine.checkpoints import load_encoder
encoder = load_encoder("runs/demo/simclr-clean/seed0")
encoder = load_encoder("moco_v2_800ep.pth.tar")
encoder = load_encoder("vit.safetensors", arch="timm:vit_small_patch16_224")
"""

from .converted import convert, load_encoder
from .files import atomic_write
from .foreign import Loaded, load_foreign
from .store import (
    Checkpoint,
    copy_half,
    is_finished,
    load_checkpoint,
    load_snapshot,
    save_checkpoint,
    save_snapshot,
    snapshot_epochs,
)

__all__ = [
    "Checkpoint",
    "Loaded",
    "atomic_write",
    "convert",
    "copy_half",
    "is_finished",
    "load_checkpoint",
    "load_encoder",
    "load_foreign",
    "load_snapshot",
    "save_checkpoint",
    "save_snapshot",
    "snapshot_epochs",
]
