"""The table of results: its schema, its row builder and the table of measures."""

from .measures import MEASURES, Measure
from .reading import Reading
from .row import RunLabel
from .table import read_rows, write_rows

__all__ = ["MEASURES", "Measure", "Reading", "RunLabel", "read_rows", "write_rows"]
