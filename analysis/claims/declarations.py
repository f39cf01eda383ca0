"""Predicates on disk: written before anything is trained or tried, and checked afterwards."""

import json
from pathlib import Path

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS
from ..results.schema import DEFAULT_EVALUATOR
from .defence_claims import predicates_c5

__all__ = ["PREDICATES_C5", "declare_c5", "declared_evaluator"]

PREDICATES_C5 = "predicates_c5.json"


def declare_c5(folder: Path, evaluator: str) -> None:
    """Write the predicates of C5 before anything is tried.

    Raises:
        InputError: the folder was begun with another evaluator, or holds other predicates.
    """
    path, text = folder / PREDICATES_C5, json.dumps(predicates_c5(evaluator), indent=1)
    if not path.is_file():
        atomic_write(path, text.encode())
    elif (before := declared_evaluator(folder)) != evaluator:
        raise InputError(f"evaluator: expected {before}, by which {folder} was begun, received {evaluator}")
    elif path.read_text() != text:
        raise InputError(
            f"out: expected the predicates of this version in {path}, received others; choose another folder"
        )


def declared_evaluator(folder: Path) -> str:
    """The evaluator in the folder's predicates."""
    path = folder / PREDICATES_C5
    try:
        evaluator = json.loads(path.read_text()).get("evaluator", DEFAULT_EVALUATOR)
    except FileNotFoundError:
        return DEFAULT_EVALUATOR
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"defences: {path} cannot be read: {error}") from None
    if evaluator not in EVALUATORS:
        raise InputError(f"defences: {path}: expected one of {', '.join(EVALUATORS)}, received {evaluator!r}")
    return str(evaluator)
