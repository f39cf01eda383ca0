"""Runs on disk, foreign encoders and the zoo: load them, measure them, and make the tables beside them."""

from .foreign_encoder import measure_foreign
from .foreign_run import ForeignRun
from .loading import load
from .measurement import measure_folder, measure_run
from .run import Run, find_runs, load_run

__all__ = [
    "ForeignRun",
    "Run",
    "find_runs",
    "load",
    "load_run",
    "measure_folder",
    "measure_foreign",
    "measure_run",
]
