"""What this project ran: the scripts, the tables that they wrote, and the pages that follow from the tables.

``python -m evidence`` writes the pages again, ``python -m evidence.figures`` draws every figure of the studies. Both
run from the root of a checkout; the wheel does not hold this package.
"""

from pathlib import Path

__all__ = ["ROOT", "STUDIES", "TABLES"]

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "evidence" / "tables"
STUDIES = ROOT / "evidence" / "studies"
