from .claims.learning_claims import judge
from .panel.encoder_panel import panel
from .results.measures import MEASURES, Measure
from .results.table import read_rows, write_rows

__all__ = ["MEASURES", "Measure", "judge", "panel", "read_rows", "write_rows"]
