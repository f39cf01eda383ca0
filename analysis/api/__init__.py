"""What Python users call: load an encoder, measure it, compare two, run a study. Results are frozen objects.

import intertwine as it
run = it.load("zoo:digits-simclr-sig-clean")
print(it.measure(run, readings="cheap").summary())
"""

from .comparison import Comparison, compare
from .measurement import Measurement, measure
from .study import StudyResult, study

__all__ = ["Comparison", "Measurement", "StudyResult", "compare", "measure", "study"]
