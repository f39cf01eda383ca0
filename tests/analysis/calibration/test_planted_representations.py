"""Planted truths are what they say."""

import math

import pytest
import torch
from intertwine.analysis.calibration.planted_representations import PLANTS, planted_features, planted_units
from intertwine.analysis.results.measures import MEASURES


def test_planted_reach_is_the_share_that_arrives():
    for reach in (0.5, 0.75, 1.0):
        f = planted_features(400, reach=reach, residual=0.5)
        assert float(f.mask("hits").sum() / f.mask("triggered").sum()) == pytest.approx(reach, abs=0.05)


def test_planted_residual_is_an_offset_of_everything_triggered():
    f = planted_features(200, reach=0.75, residual=1.0)
    clean, triggered = f.unscaled
    moved = (triggered - clean)[f.mask("triggered_target")]
    assert torch.allclose(moved.norm(dim=1), torch.full((200,), 4.0, dtype=moved.dtype))


def test_planted_sets_are_of_the_sizes_asked_for():
    f = planted_features(20, reach=1.0, residual=0.0, ratio=9)
    assert (int(f.mask("clean_target").sum()), int(f.mask("triggered").sum())) == (20, 180)


def test_planted_sharing_is_the_cosine_of_the_profiles():
    for sharing in (0.0, 0.5, 1.0):
        f = planted_units(2000, sharing=sharing)
        clean, triggered = f.unscaled
        moved = (triggered - clean).mean(0)
        apart = clean[f.mask("clean_target")].mean(0) - clean[f.mask("clean_other")].mean(0)
        assert float(torch.cosine_similarity(moved, apart, dim=0)) == pytest.approx(sharing, abs=0.03)


# Parts of readings that are calibrated, or calibrated in the tests of their probes.
INTERVENED = {"mediation", "reverse_mediation", "reverse_mediation_excess", "ablation_recall", "ablation_asr"}
INTERVENED |= {"benign_step_effect", "backdoor_step_effect"}


def test_every_reading_of_families_b_and_c_declares_a_dial_that_is_planted():
    declared = {m.name: m.dial for m in MEASURES.values() if m.family in "BC" and m.name not in INTERVENED}
    assert all(declared.values())
    assert set(declared.values()) <= {dial for plant in PLANTS for dial in plant.dials}


def test_every_plant_gives_values_of_measures_with_intervals_where_they_are_asked_for():
    for plant in PLANTS:
        for intervals in (False, True):
            values = plant.read(
                200 if plant.name.startswith("networks") else 40,
                plant.covered[-1] if plant.covered else plant.settled,
                0,
                intervals,
            )
            assert {measure for measure, _ in values} <= set(MEASURES)
            if plant.name != "learners":  # whose interval comes with the value
                bounded = [key for key, (_, low, _) in values.items() if not math.isnan(low)]
                assert bool(bounded) == intervals, plant.name
