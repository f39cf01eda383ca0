"""Tables of a panel: readings that share a reference, and what becomes of them in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from ...representations.encoders import FEATURES
from ..results.reading import Reading
from ..results.row import RunLabel, build_row, table_of
from ..results.schema import BACKDOORED, DEFAULT_EVALUATOR, LEAST_HITS
from .encoder_readings import KeyedReadings

__all__ = ["Table", "backdoored", "reference_asr", "to_rows"]

ASR = (FEATURES, "asr", "triggered")


class Table(NamedTuple):
    """Readings that share a reference.

    paired: they compare this run with ``other_run``; the last part of a key is the other run's layer. confusion: where
    triggered images go, by class, according to ``evaluator``.
    """

    reference: str
    readings: KeyedReadings
    other_run: str = ""
    paired: bool = False
    confusion: Mapping[int, Reading] = MappingProxyType({})
    evaluator: str = ""


def compared_with(tables: Sequence[Table]) -> Table:
    """The table of the benign twin, or else of random weights."""
    by_reference = {table.reference: table for table in tables if not table.paired}
    return by_reference["benign"] if "benign" in by_reference else by_reference["random-init"]


def reference_asr(tables: Sequence[Table], evaluator: str) -> float:
    """ASR of the benign twin, or else of random weights, by an evaluator; by kNN where they have no native head."""
    readings = compared_with(tables).readings
    return readings.get((*ASR, evaluator), readings[(*ASR, DEFAULT_EVALUATOR)]).value


def backdoored(tables: Sequence[Table]) -> Reading:
    """Whether ASR exceeds that of the benign twin, or of random weights, by any evaluator that both have."""
    own, other = tables[0].readings, compared_with(tables)
    excess = {
        evaluator: own[(*ASR, evaluator)].value - other.readings[(*ASR, evaluator)].value
        for *place, evaluator in own
        if tuple(place) == ASR and (*ASR, evaluator) in other.readings
    }
    note = f"ASR minus {other.reference}: " + ", ".join(f"{name} {value:+.3f}" for name, value in excess.items())
    return Reading(float(max(excess.values()) >= BACKDOORED), n=own[(*ASR, DEFAULT_EVALUATOR)].n, note=note)


def to_rows(tables: Sequence[Table], hits: int, poisons: int | None, label: RunLabel, evaluator: str) -> pd.DataFrame:
    """All readings as rows. ``hits``: their number. ``poisons``: likewise. ``evaluator``: the one that decides."""
    rows = []
    for table in tables:
        own = table.reference == "" and not table.paired
        for (layer, name, subset, detail), r in table.readings.items():
            # With a few hits, what is measured are other images than the backdoor's.
            few = own and subset == "hits" and hits < LEAST_HITS and r.status == "ok"
            reading = replace(r, status="too_few_hits") if few else r
            if own and name == "asr" and poisons is not None:
                reading = replace(reading, note="; ".join(filter(None, (reading.note, f"{poisons} poisons"))))
            whose = {"kind": "pair", "other_layer": detail} if table.paired else {"evaluator": detail}
            where = {"layer": layer, "subset": subset, "measure": name, "reference": table.reference}
            decides = not table.paired and detail == evaluator
            rows.append(build_row(label, reading, **where, **whose, other_run=table.other_run, decides=decides))
        for c, share in table.confusion.items():
            where = {"layer": FEATURES, "subset": "triggered", "measure": "confusion", "reference": table.reference}
            about = {"kind": "confusion", "x": c, "other_run": table.other_run}
            rows.append(build_row(label, share, **where, **about, evaluator=table.evaluator))
    return table_of(rows)
