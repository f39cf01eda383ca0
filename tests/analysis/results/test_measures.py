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
