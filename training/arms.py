"""Arms: a learner and a poison each. This module imports no torch, so that the command line can list them at once."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["ARMS", "Arm", "ArmName"]

ArmName = Literal[
    "supervised-benign",
    "supcon-benign",
    "supervised-dirty",
    "supervised-clean",
    "supcon-dirty",
    "supcon-clean",
    "simclr-benign",
    "simclr-dirty",
    "simclr-clean",
    "byol-benign",
    "byol-dirty",
    "byol-clean",
    "simsiam-benign",
    "simsiam-dirty",
    "simsiam-clean",
    "moco-benign",
    "moco-dirty",
    "moco-clean",
    "barlow-benign",
    "barlow-dirty",
    "barlow-clean",
    "badencoder",
]
"""``LEARNER-POISON``; ``badencoder`` attacks the weights of a trained encoder."""


@dataclass(frozen=True)
class Arm:
    """A learner and a poison.

    learner: ``supervised`` or ``supcon``, which see labels; ``simclr``, ``byol``, ``simsiam``, ``moco`` or ``barlow``,
    which see none; ``badencoder``, which changes a trained encoder. poison: what binds the trigger to the target.
    ``benign``: nothing. ``dirty``: images of other classes get the trigger, and the attacker binds them to the target:
    with that label, or, where the learner sees none, as a pair with an image of the target (:mod:`.pairs`). ``clean``:
    images of the target class get the trigger, and nothing else changes. ``model``: no training image changes, the
    encoder does.
    """

    learner: str
    poison: str

    @property
    def labelled(self) -> bool:
        """Whether the learner sees labels."""
        return self.learner in ("supervised", "supcon")

    @property
    def has_classifier(self) -> bool:
        """Whether the learner trains a classifier, which is then its native head."""
        return self.learner == "supervised"

    @property
    def is_poisoned(self) -> bool:
        return self.poison != "benign"

    @property
    def poisons_data(self) -> bool:
        """Whether training images get the trigger."""
        return self.poison in ("dirty", "clean")

    @property
    def changes_pairs(self) -> bool:
        """Whether the attacker changes positive pairs, for want of a label to change."""
        return self.poison == "dirty" and not self.labelled

    @property
    def benign(self) -> str:
        """The arm of its benign twin, the same learner without poison. A model attack starts from it."""
        return f"{'simclr' if self.poison == 'model' else self.learner}-benign"


def _arm(name: str) -> Arm:
    learner, _, poison = name.partition("-")
    return Arm(learner, poison or "model")


ARMS: dict[str, Arm] = {name: _arm(name) for name in get_args(ArmName)}
"""By name."""
