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
