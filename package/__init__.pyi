from . import analysis, checkpoints, figures, probes, representations, training
from .analysis.api.comparison import Comparison, compare
from .analysis.api.measurement import Measurement, measure
from .analysis.api.study import StudyResult, study
from .analysis.panel.options import PanelOptions
from .analysis.runs.foreign_run import ForeignRun
from .analysis.runs.loading import load
from .analysis.runs.run import Run

__version__: str

__all__ = [
    "Comparison",
    "ForeignRun",
    "Measurement",
    "PanelOptions",
    "Run",
    "StudyResult",
    "__version__",
    "analysis",
    "checkpoints",
    "compare",
    "figures",
    "load",
    "measure",
    "probes",
    "representations",
    "study",
    "training",
]
