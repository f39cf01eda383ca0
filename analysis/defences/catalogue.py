"""The catalogue: every defence by name, with what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.triggers import Trigger
from .common.defender import Defender
from .common.detection import Detection
from .common.known_training import OWN_LOSS
from .methods import luminance_blur as view
from .methods.abl import abl_isolation, abl_unlearning
from .methods.activation_clustering import activation_clustering
from .methods.anp import anp
from .methods.beatrix import beatrix
from .methods.class_density import class_density
from .methods.clp import clp
from .methods.decree import EncoderTrigger, decree
from .methods.distillation import distillation
from .methods.fine_pruning import fine_pruning
from .methods.fine_tuning import fine_tuning
from .methods.i_bau import ibau
from .methods.nad import nad
from .methods.neural_cleanse import ClassTriggers, neural_cleanse
from .methods.scan import scan
from .methods.spectral_signatures import spectral_signatures
from .methods.strip import strip
from .methods.trigger_erasure import erased, estimated_eraser, oracle_eraser

__all__ = ["BASELINE", "DETECTORS", "INSPECTIONS", "MITIGATIONS", "UNTREATED", "Defence", "check_needs"]

Result = TypeVar("Result", covariant=True)

LABELS, CLEAN, CLASSES = "labels of the training images", "clean images", "clean images with their classes"
LOSS, RECIPE, NORM = "the loss of each training image", "the training recipe", "batch normalisation in the encoder"
TRIGGER = "the trigger"


@dataclass(frozen=True)
class Defence(Generic[Result]):
    """A defence and its needs.

    act: defender, test trigger → result. Only oracles, which need :data:`TRIGGER`, use the trigger. needs: what it
    needs beside the encoder and its training images.
    """

    needs: tuple[str, ...]
    act: Callable[[Defender, Trigger], Result]

    def __call__(self, defender: Defender, trigger: Trigger) -> Result:
        """Apply the defence.

        Raises:
            InputError: something that it needs is missing or does not fit.
        """
        check_needs(self, defender)
        return self.act(defender, trigger)


def check_needs(defence: Defence[object], defender: Defender) -> None:
    """Check that the defender has what the defence needs.

    Raises:
        InputError: names the first thing that is missing.
    """
    e = defender.training.experiment
    pairs = f"received {e.recipe.arm}, whose pairs the attacker changes: single images do not hold the poison"
    there = {
        CLEAN: (len(defender.clean) > 1, f"received {len(defender.clean)}"),
        CLASSES: (len(defender.clean_labels.unique()) > 1, f"received {len(defender.clean_labels.unique())} classes"),
        LOSS: (
            e.arm.learner in OWN_LOSS and not e.arm.changes_pairs,
            pairs if e.arm.changes_pairs else f"received {e.arm.learner}, whose snapshots do not have it",
        ),
        RECIPE: (
            e.arm.poison != "model" and not e.arm.changes_pairs,
            pairs if e.arm.changes_pairs else f"received {e.recipe.arm}: no training image is poisoned",
        ),
        NORM: (any(isinstance(m, nn.BatchNorm2d) for m in defender.encoder.modules()), "received none"),
    }
    for need in defence.needs:
        found, received = there.get(need, (True, ""))
        if not found:
            raise InputError(f"defence: expected {need}, {received}")


def _there(s: Defender) -> Tensor:
    """The clean images, on the encoder's device."""
    return s.clean.to(s.encoder.mean.device)


def _strip(s: Defender, _: Trigger) -> Detection:
    fitted, held_out = s.halves
    return strip(s.images, s.clean[fitted], s.clean[held_out], s.predict, seed=s.seed)


DETECTORS: dict[str, Defence[Detection]] = {
    "activation-clustering": Defence((LABELS,), lambda s, _: activation_clustering(s.features, s.labels, seed=s.seed)),
    "spectral": Defence((LABELS,), lambda s, _: spectral_signatures(s.features, s.labels)),
    "scan": Defence((LABELS, CLASSES), lambda s, _: scan(s.features, s.labels, s.clean_features, s.clean_groups)),
    "beatrix": Defence(
        (LABELS, CLASSES),
        lambda s, _: beatrix(s.maps, s.labels, s.maps[s.known], s.clean_groups, seed=s.seed),
    ),
    "strip": Defence((CLASSES,), _strip),
    "abl": Defence((LOSS,), lambda s, _: abl_isolation(s.losses)),
    "class-density": Defence((LABELS,), lambda s, _: class_density(s.features, s.labels)),
}
BASELINE = "class-density"
"""The baseline of detectors: a density rule that uses nothing about backdoors."""

INSPECTIONS: dict[str, Defence[ClassTriggers | EncoderTrigger]] = {
    "neural-cleanse": Defence(
        (CLASSES,), lambda s, _: neural_cleanse(_there(s), s.classifier, len(s.clean_labels.unique()), seed=s.seed)
    ),
    "decree": Defence((CLEAN,), lambda s, _: decree(_there(s), s.encoder.eval(), seed=s.seed)),
}


def _estimated(s: Defender, _: Trigger) -> Encoder:
    # Without a threshold: some class has the highest score.
    found = scan(s.features, s.labels, s.clean_features, s.clean_groups, threshold=0.0)
    return erased(s.encoder, estimated_eraser(s.features, s.labels, found))


def _inverted(s: Defender, _: Trigger) -> Encoder:
    found = decree(_there(s), s.encoder.eval(), seed=s.seed)
    return erased(
        s.encoder, oracle_eraser(s.encoder, s.clean, lambda x: (1 - found.mask) * x + found.mask * found.pattern)
    )


def _seen_in_training(s: Defender, change: Callable[[Tensor], Tensor]) -> Encoder:
    images = (change(s.images.float() / 255) * 255).round().to(s.images.dtype)
    return view.behind(s.training.again(images), change)


def _without(detector: str) -> Defence[Encoder]:
    """Train again without the images that a detector flags; where it flags none, the encoder stays as it is."""

    def act(s: Defender, trigger: Trigger) -> Encoder:
        flagged = DETECTORS[detector](s, trigger).flagged
        return s.training.again(s.images, ~flagged) if flagged.any() else s.encoder

    return Defence((RECIPE, *DETECTORS[detector].needs), act)


def _unlearned(s: Defender, trigger: Trigger) -> Encoder:
    isolated = s.images[DETECTORS["abl"](s, trigger).flagged]
    return abl_unlearning(s.encoder, isolated, s.clean, s.clean_labels, augment=s.augment, seed=s.seed)


UNTREATED = "none"
MITIGATIONS: dict[str, Defence[Encoder]] = {
    UNTREATED: Defence((), lambda s, _: s.encoder),
    "fine-tuning": Defence(
        (CLASSES,), lambda s, _: fine_tuning(s.encoder, s.clean, s.clean_labels, augment=s.augment, seed=s.seed)
    ),
    "fine-pruning": Defence(
        (CLASSES, NORM), lambda s, _: fine_pruning(s.encoder, s.clean, s.clean_labels, augment=s.augment, seed=s.seed)
    ),
    "clp": Defence((NORM,), lambda s, _: clp(s.encoder)),
    "anp": Defence((CLASSES, NORM), lambda s, _: anp(s.encoder, s.clean, s.clean_labels, seed=s.seed)),
    "nad": Defence((CLASSES,), lambda s, _: nad(s.encoder, s.clean, s.clean_labels, augment=s.augment, seed=s.seed)),
    "i-bau": Defence((CLASSES,), lambda s, _: ibau(s.encoder, s.clean, s.clean_labels, seed=s.seed)),
    "abl-unlearning": Defence((LOSS, CLASSES), _unlearned),
    "distillation": Defence((CLEAN,), lambda s, _: distillation(s.encoder, s.clean, augment=s.augment, seed=s.seed)),
    "luminance": Defence((), lambda s, _: view.luminance_only(s.encoder)),
    "blur": Defence((), lambda s, _: view.blurred(s.encoder)),
    "luminance-in-training": Defence((RECIPE,), lambda s, _: _seen_in_training(s, view.luma)),
    "blur-in-training": Defence((RECIPE,), lambda s, _: _seen_in_training(s, view.gaussian)),
    "without-scan": _without("scan"),
    "without-spectral": _without("spectral"),
    "estimated-erasure": Defence((LABELS, CLASSES), _estimated),
    "inverted-erasure": Defence((CLEAN,), _inverted),
    "oracle-erasure": Defence(
        (CLEAN, TRIGGER), lambda s, trigger: erased(s.encoder, oracle_eraser(s.encoder, s.clean, trigger))
    ),
}
"""``none``: no treatment, the baseline. ``without-…``: train again without the images that a detector flags. The two
detectors are those with the highest mean AUROC over arms on digits (``evidence/studies/defences``)."""
