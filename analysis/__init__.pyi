from .claims.learning_claims import judge
from .panel.options import PanelOptions
from .results.measures import MEASURES, Measure
from .results.table import read_rows, write_rows
from .runs.measurement import measure_run
from .runs.run import load_run

__all__ = ["MEASURES", "Measure", "PanelOptions", "judge", "load_run", "measure_run", "read_rows", "write_rows"]
