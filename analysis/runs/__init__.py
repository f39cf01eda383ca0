"""Runs on disk, encoders of others and the zoo: load, measure, and the tables beside them."""

from .foreign_encoder import measure_foreign
from .measurement import measure_folder, measure_run
from .run import Run, find_runs, load_run

__all__ = ["Run", "find_runs", "load_run", "measure_folder", "measure_foreign", "measure_run"]
