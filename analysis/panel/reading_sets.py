"""Which readings are taken, at which layers, beside which references: two named sets, and sets of names."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..results.measures import INCLUDING, RATES
from ..results.schema import REFERENCES
from .readings import ENTRIES
from .readings.network import NETWORK_READINGS

__all__ = ["CHEAP", "STANDARD", "UNRELATED", "ReadingSet", "reading_set"]


@dataclass(frozen=True)
class ReadingSet:
    """measures: names of the table of measures. output_only: those that are read at the output alone. references: which are
    measured (``together`` and the nulls of single measures cost little and come with the readings). layers: those that
    are read unless the caller says otherwise; ``None`` for all."""

    measures: frozenset[str]
    output_only: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset(REFERENCES)
    layers: tuple[str, ...] | None = None

    def at(self, layer: str) -> frozenset[str]:
        """What is read at a layer."""
        return self.measures if layer == FEATURES else self.measures - self.output_only


def _standard(where: Collection[str]) -> frozenset[str]:
    return frozenset(name for entry in ENTRIES if entry.standard in where for name in entry.measures)


STANDARD = ReadingSet(
    _standard(("all", "output")) | {"gradient_alignment", "channel_lipschitz", *RATES},
    output_only=_standard(("output",)),
)
"""Every reading but those that are only taken by name, beside every reference."""

CHEAP = ReadingSet(
    frozenset(
        {
            *(*RATES, "displacement_cosine", "neighbour_mixing", "silhouette", "source_accuracy", "residual_energy"),
            *("gradient_alignment", "cka", "effective_rank"),
        }
    ),
    references=frozenset({"benign", "together"}),
    layers=(FEATURES,),
)
"""What a study reads at every snapshot: the primary readings and a few that cost next to nothing, at the output."""


UNRELATED = ReadingSet(frozenset(RATES), references=frozenset({"random-trigger"}), layers=(FEATURES,))
"""Whether the encoder answers to its own trigger only: its rates under others of the kind. A study reads them once."""


def reading_set(readings: str | Sequence[str] | ReadingSet) -> ReadingSet:
    """``"standard"``, ``"cheap"``, or names of measures, as a sequence or separated by commas; a set stays as it is.

    Measures that are asked for by name are read at all layers.
    """
    if isinstance(readings, ReadingSet):
        return readings
    if readings in ("standard", "cheap"):
        return STANDARD if readings == "standard" else CHEAP
    names = [n.strip() for n in readings.split(",")] if isinstance(readings, str) else list(readings)
    if "standard" in names:  # with what is only read by name
        more = reading_set([name for name in names if name != "standard"])
        return ReadingSet(STANDARD.measures | more.measures, STANDARD.output_only - more.measures)
    known = [
        *(name for entry in ENTRIES for name in entry.measures),
        "gradient_alignment",
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
