"""The table of measures is whole, and says of each what can be true."""

import math

from intertwine.analysis.panel.readings import ENTRIES
from intertwine.analysis.panel.readings.network import NETWORK_READINGS
from intertwine.analysis.results.measures import INCLUDING, MEASURES, PRIMARY, RATES
from intertwine.analysis.results.schema import SUBSETS

FAMILIES = {"A", "B", "C", "D", "E", "R"}


def test_whatever_is_computed_is_in_the_table():
    entries = {name for entry in ENTRIES for name in entry.measures}
    assert entries | {*NETWORK_READINGS, *RATES, INCLUDING, *PRIMARY} <= set(MEASURES)
    assert {subset for entry in ENTRIES for subset in entry.subsets} <= set(SUBSETS)
    assert {where["subset"] for where in PRIMARY.values()} <= set(SUBSETS)


def test_a_measure_has_a_family_a_range_and_ends_inside_it():
    for name, measure in MEASURES.items():
        low, high = measure.range
        assert measure.name == name
        assert measure.family in FAMILIES, name
        assert measure.title, name
        assert low < high, name
        for end in (measure.intertwined, measure.apart):
            assert math.isnan(end) or low <= end <= high, name


def test_only_evidence_says_what_it_is_evidence_of():
    for name, measure in MEASURES.items():
        assert bool(measure.evidence) == (measure.family in "BCD"), name
        assert len(measure.evidence) < 60, name


def test_restatements_of_the_effect_are_no_evidence():
    restated = "distance_ratio confusion_ratio displacement_cosine residual_energy neuron_overlap source_accuracy"
    assert {MEASURES[name].family for name in restated.split()} == {"A", "E"}


def test_absolute_readings_have_both_ends_in_their_own_encoder():
    entries = {name: entry for entry in ENTRIES for name in entry.measures}
    for name in ("energy_coefficient", "smaller_side_mixing"):
        assert entries[name].together is not None
        assert entries[name].apart is not None
        assert "false-positives" in entries[name].nulls
        assert {"hits", "poisons"} <= set(entries[name].subsets)
