"""What figures of images and encoders need: shapes, who is shown, and what a distance of 0 means."""

import numpy as np
import pytest
import torch
from intertwine.analysis.runs.pictures import distances, explain, responses
from intertwine.analysis.runs.run import load_run


@pytest.fixture(scope="module")
def runs(small_runs):
    return [load_run(small_runs / arm / "seed0") for arm in ("supervised-dirty", "supervised-benign")]


def test_attributions_are_of_triggered_images_of_different_other_classes(runs):
    e = runs[0].experiment
    found = explain(runs[0], n=3)
    assert found.clean.shape == found.triggered.shape == (3, *e.test.images.shape[1:])
    assert len(set(found.names)) == 3
    assert e.test.classes[e.plan.target] not in found.names
    again = (e.test_trigger(torch.from_numpy(found.clean).float() / 255) * 255).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(found.triggered, again)
    assert {len(values) for values in found.maps.values()} == {3}
    assert all(np.isfinite(values).all() for values in found.maps.values())


def test_units_are_those_that_the_trigger_raises_most(runs):
    found = responses(runs[0], units=3, most=60)
    assert found.images.dtype == np.uint8
    assert len(found.images) == len(found.activations) == 120
    assert found.triggered.tolist() == [False] * 60 + [True] * 60
    assert [title.split(":")[0] for title in found.titles] == [f"unit {unit}" for unit in found.units]
    raised = [float(title.split()[-2]) for title in found.titles]
    assert raised == sorted(raised, reverse=True)
    assert raised[0] > 0


def test_an_encoder_is_at_no_distance_from_itself(runs):
    matrix = distances([runs[0], runs[1], runs[0]], most=100)
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix[0, 2] == pytest.approx(0, abs=1e-6)
    assert 0.01 < matrix[0, 1] <= np.pi / 2
