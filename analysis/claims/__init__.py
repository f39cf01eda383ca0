"""The paper's claims as predicates on rows, with their statistics and verdicts."""

from .defence_claims import judge_defences
from .learning_claims import judge, predicates

__all__ = ["judge", "judge_defences", "predicates"]
