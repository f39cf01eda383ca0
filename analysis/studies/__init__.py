"""Arms × seeds, grids, comparisons and defences, unattended and resumable."""

from .comparison import compare
from .defence_study import defend
from .demo import demo
from .study import study

__all__ = ["compare", "defend", "demo", "study"]
