from .api.comparison import Comparison, compare
from .api.measurement import Measurement, measure
from .api.study import StudyResult, study
from .claims.learning_claims import judge
from .panel.options import PanelOptions
from .results.measures import MEASURES, Measure
from .results.table import read_rows, write_rows
from .runs.foreign_run import ForeignRun
from .runs.loading import load
from .runs.run import Run

__all__ = [
    "MEASURES",
    "Comparison",
    "ForeignRun",
    "Measure",
    "Measurement",
    "PanelOptions",
    "Run",
    "StudyResult",
    "compare",
    "judge",
    "load",
    "measure",
    "read_rows",
    "study",
    "write_rows",
]
