from .measures import MEASURES, Measure
from .reading import Reading
from .row import RunLabel
from .table import read_rows, write_rows

__all__ = ["MEASURES", "Measure", "Reading", "RunLabel", "read_rows", "write_rows"]
