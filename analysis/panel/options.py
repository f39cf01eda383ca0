"""The options of a measurement, made once and handed down: their defaults stand here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...representations.errors import InputError
from ...representations.evaluators import EVALUATORS
from ..results.schema import DEFAULT_EVALUATOR
from .reading_sets import ReadingSet

__all__ = ["LEAST_IMAGES", "PanelOptions"]

LEAST_IMAGES = 100


@dataclass(frozen=True)
class PanelOptions:
    """What is computed of an encoder, and from how many images.

    readings: ``"standard"``, ``"cheap"`` (the output only, beside benign twin and ``together``), names of measures, as
        a sequence or separated by commas, or a set of :mod:`.reading_sets`.
    layers: names of layers; by default those of the readings. Gradient alignment comes for all layers at once.
    images, bank: rates are computed on all held-out images, everything else on ``images`` of them, and the evaluators
        see ``bank`` training images, both drawn by ``seed``: memory does not grow with the data.
    evaluator: ``knn`` or ``ridge``: which of the two decides what is a hit, and whether the backdoor works. Rates are
        reported by both.
    random_triggers: how many stand for that reference.
    seed: drives every random draw. Of a run it is the run's own.
    """

    readings: str | Sequence[str] | ReadingSet = "standard"
    layers: Sequence[str] | None = None
    images: int = 2000
    bank: int = 5000
    evaluator: str = DEFAULT_EVALUATOR
    random_triggers: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("images", "bank"):
            if getattr(self, name) < LEAST_IMAGES:
                raise InputError(f"{name}: expected at least {LEAST_IMAGES} images, received {getattr(self, name)}")
        if self.evaluator not in EVALUATORS:
            raise InputError(f"evaluator: expected one of {', '.join(EVALUATORS)}, received {self.evaluator!r}")
