"""Checkpoints: folders that are written whole, verified when read, and never unpickled.

from intertwine.checkpoints import load_encoder
encoder = load_encoder("runs/demo/contrastive/seed0")
"""

from .store import (
    Checkpoint,
    atomic_write,
    is_finished,
    load_checkpoint,
    load_encoder,
    load_snapshot,
    save_checkpoint,
    save_snapshot,
    snapshot_epochs,
)

__all__ = [
    "Checkpoint",
    "atomic_write",
    "is_finished",
    "load_checkpoint",
    "load_encoder",
    "load_snapshot",
    "save_checkpoint",
    "save_snapshot",
    "snapshot_epochs",
]
