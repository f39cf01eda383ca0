"""Learning: curves, snapshots, forgetting, and paths between weights."""

from .dynamics import measure_dynamics
from .interventions import measure_interventions

__all__ = ["measure_dynamics", "measure_interventions"]
