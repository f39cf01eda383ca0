"""Sets of readings: which measures to compute, at which layers, beside which references."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..results.measures import INCLUDING, RATES
from ..results.schema import REFERENCES
from .readings import ENTRIES
from .readings.interference import INTERFERENCE
from .readings.interventions import INTERVENTIONS
from .readings.network import NETWORK_READINGS

__all__ = ["ALONG_TRAINING", "CHEAP", "RANDOM_TRIGGER_RATES", "STANDARD", "ReadingSet", "reading_set"]


@dataclass(frozen=True)
class ReadingSet:
    """What a panel computes.

    measures: names of the table of measures. output_only: those that are computed at the output only.
    references: those to measure. (``together`` and the references of single measures cost little and always come.)
    layers: those to use by default; ``None`` for all.
    """

    measures: frozenset[str]
    output_only: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset(REFERENCES)
    layers: tuple[str, ...] | None = None

    def at(self, layer: str) -> frozenset[str]:
        """The measures to compute at a layer."""
        return self.measures if layer == FEATURES else self.measures - self.output_only


def _standard(where: Collection[str]) -> frozenset[str]:
    return frozenset(name for entry in ENTRIES if entry.standard in where for name in entry.measures)


STANDARD = ReadingSet(
    _standard(("all", "output")) | {*INTERFERENCE, *INTERVENTIONS, "channel_lipschitz", *RATES},
    output_only=_standard(("output",)),
)
"""Every reading except those computed by name only, beside every reference."""

CHEAP = ReadingSet(
    frozenset(
        {
            *(*RATES, "displacement_cosine", "neighbour_mixing", "silhouette", "source_accuracy", "residual_energy"),
            *("energy_coefficient", "smaller_side_mixing", "interference", "cka", "effective_rank"),
            *("mediation", "mediation_excess", "collateral", "content_retention"),
        }
    ),
    references=frozenset({"benign", "together", "apart", "false-positives"}),
    layers=(FEATURES,),
)
"""What a study computes at the end of training: the primary readings and a few cheap ones, at the output."""

ALONG_TRAINING = ReadingSet(
    frozenset({*RATES, "interference", "smaller_side_mixing", "content_retention", "displacement_cosine"}),
    references=frozenset({"benign"}),
    layers=(FEATURES,),
)
"""What a study computes at every other snapshot: what the claims read there, and what tells two failures apart, a
trigger that is not picked up and one that leads elsewhere."""

RANDOM_TRIGGER_RATES = ReadingSet(frozenset(RATES), references=frozenset({"random-trigger"}), layers=(FEATURES,))
"""Rates under the trigger and others of its kind: they show whether the encoder responds to its own trigger only."""


def reading_set(readings: str | Sequence[str] | ReadingSet) -> ReadingSet:
    """The set for ``"standard"``, ``"cheap"`` or names of measures, as a sequence or separated by commas.

    Measures asked for by name are computed at all layers. A :class:`ReadingSet` is returned as it is.
    """
    if isinstance(readings, ReadingSet):
        return readings
    if readings in ("standard", "cheap"):
        return STANDARD if readings == "standard" else CHEAP
    names = [n.strip() for n in readings.split(",")] if isinstance(readings, str) else list(readings)
    if "standard" in names:  # and some that are computed by name only
        more = reading_set([name for name in names if name != "standard"])
        return ReadingSet(STANDARD.measures | more.measures, STANDARD.output_only - more.measures)
    known = [
        *(name for entry in ENTRIES for name in entry.measures),
        *INTERFERENCE,
        *INTERVENTIONS,
        *NETWORK_READINGS,
        *RATES,
        INCLUDING,
    ]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "standard", "cheap"], n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(
                f"readings: expected standard, cheap, or names among {', '.join(known)}, received {name!r}{hint}"
            )
    return ReadingSet(frozenset({*names, *RATES}))
