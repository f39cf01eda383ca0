"""The options of a measurement, with their only defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...representations.errors import InputError
from ..results.schema import DECIDING, NATIVE

if TYPE_CHECKING:
    from .reading_sets import ReadingSet

__all__ = ["LEAST_IMAGES", "PanelOptions"]

LEAST_IMAGES = 100


@dataclass(frozen=True)
class PanelOptions:
    """What to compute of an encoder, and from how many images.

    Args:
        readings: ``"standard"``, ``"cheap"`` (the output only, with benign twin and ``together``), a set of
            :mod:`.reading_sets`, or names of measures, as a sequence or separated by commas.
        layers: names of layers; by default those of the readings. Interference always covers all layers. Interventions
            add the middle layer where only the output is asked for.
        images: number of held-out images, drawn by ``seed``, for all readings except the rates. Rates use all of them.
        bank: number of training images, drawn by ``seed``, for the evaluators.
        evaluator: ``native``, ``knn`` or ``ridge``, the one that decides which images are hits. All report rates.
            Encoders without a native head have kNN in its place.
        random_triggers: number of triggers in the ``random-trigger`` reference.
        seed: drives every random draw. A run uses its own.
    """

    readings: "str | Sequence[str] | ReadingSet" = "standard"
    layers: Sequence[str] | None = None
    images: int = 2000
    bank: int = 5000
    evaluator: str = NATIVE
    random_triggers: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("images", "bank"):
            if getattr(self, name) < LEAST_IMAGES:
                raise InputError(f"{name}: expected at least {LEAST_IMAGES} images, received {getattr(self, name)}")
        if self.evaluator not in DECIDING:
            raise InputError(f"evaluator: expected one of {', '.join(DECIDING)}, received {self.evaluator!r}")
