"""Readings beside their references, claims with their verdicts, and the commands.

from intertwine.analysis import panel
rows = panel(encoder, images, labels, trigger, target=0, bank=(train_images, train_labels), benign twin=clean_encoder)
"""

from .claims.learning_claims import judge
from .panel.encoder_panel import panel
from .results.measures import MEASURES, Measure
from .results.table import read_rows, write_rows

__all__ = ["MEASURES", "Measure", "judge", "panel", "read_rows", "write_rows"]
