"""The absolute readings beside their ends in one encoder, and on subsets that may be absent."""

from dataclasses import replace

import pytest
import torch
from intertwine.analysis.panel.readings import Features, read, read_nulls
from torch.nn.functional import one_hot

from tests.factories import randn

ABSOLUTE = ("energy_coefficient", "smaller_side_mixing")
LABELS = torch.arange(400) % 4


def features(mixed: bool, **more) -> Features:
    """Four classes of 100. Hits lie among the target's images, or in a place of their own on a fifth axis."""
    clean = one_hot(LABELS, 8).double() + 0.1 * randn(0, 400, 8)
    place = torch.eye(8, dtype=torch.float64)[0 if mixed else 5]
    triggered = place + 0.1 * randn(1, 400, 8)
    hits = LABELS != 0
    return Features(clean, triggered, triggered[hits], LABELS, 0, hits, clean, LABELS, **more)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_reading_is_at_the_end_where_its_hits_are(mixed):
    f = features(mixed)
    found, nulls = read(f, ABSOLUTE), read_nulls(f, ABSOLUTE)
    for name in ABSOLUTE:
        value = found[(name, "hits")]
        together, apart = (nulls[(name, "hits", end)].value for end in ("together", "apart"))
        assert value.value == pytest.approx(together if mixed else apart, abs=0.1), name
        assert abs(together - apart) > 0.5, name
        assert value.interval[0] <= value.value <= value.interval[1], name
        assert value.n == 300, name
    assert "mean of 3 classes" in nulls[("energy_coefficient", "hits", "apart")].note


def test_poisons_are_compared_with_their_twins():
    f = features(False, poisons=randn(5, 40, 8) + 6, poison_twins=randn(6, 60, 8) - 6)
    same = replace(f, poison_twins=randn(7, 60, 8) + 6)
    for name, together, apart in (("energy_coefficient", 0.0, 1.0), ("smaller_side_mixing", 1.0, 0.0)):
        found = read(f, [name])[(name, "poisons")]
        assert found.n == 40
        assert found.value == pytest.approx(apart, abs=0.35)
        assert read(same, [name])[(name, "poisons")].value == pytest.approx(together, abs=0.15)
        assert read_nulls(f, [name])[(name, "poisons", "together")].value == pytest.approx(together, abs=0.15)
    # A trigger of another kind changes no training image.
    assert not [key for key in read(f, ABSOLUTE, trigger_only=True) if key[1] == "poisons"]


def test_absent_subsets_are_undefined_with_the_reason():
    f = features(True)
    for name in (*ABSOLUTE, "density_kdist"):
        reading = read(f, [name])[(name, "poisons")]
        assert (reading.status, reading.n) == ("undefined", 0)
        assert "poison" in reading.note
    for end in ("together", "apart", "false-positives"):
        assert read_nulls(f, ABSOLUTE)[("energy_coefficient", "poisons", end)].status == "undefined"
    assert read_nulls(f, ABSOLUTE)[("energy_coefficient", "hits", "false-positives")].status == "undefined"


@pytest.mark.parametrize("count", [4, 60])
def test_false_positives_are_counted(count):
    """They are clean images of class 1 here, as far from the target's as classes are."""
    chosen = (LABELS == 1).nonzero().flatten()[:count]
    mask = torch.zeros(400, dtype=torch.bool)
    mask[chosen] = True
    f = features(True, false_positives=mask)
    nulls = read_nulls(f, ABSOLUTE)
    for name in ABSOLUTE:
        found = nulls[(name, "hits", "false-positives")]
        assert found.n == count
        if count < 10:
            assert found.status == "undefined"
            assert "expected at least 10 images in false_positives, received 4" in found.note
        else:
            assert found.value == pytest.approx(nulls[(name, "hits", "apart")].value, abs=0.1)


def test_triggered_images_in_one_place_are_denser_and_lose_their_content():
    f = features(False)
    compact = replace(f, triggered=torch.eye(8, dtype=torch.float64)[5] + 0.02 * randn(1, 400, 8))
    assert read(f, ["density_kdist"])[("density_kdist", "hits")].value == pytest.approx(0.5, abs=0.1)
    assert read(compact, ["density_kdist"])[("density_kdist", "hits")].value == 0
    kept = read(compact, ["content_retention"])
    assert kept[("content_retention", "hits")].value < 0.01
    assert kept[("content_retention", "triggered")].interval[1] < 0.02
