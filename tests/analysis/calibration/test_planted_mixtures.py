"""Planted mixtures are what they say, and the verdicts on monotone and flat readings can fail."""

import pandas as pd
import pytest
import torch
from intertwine.analysis.calibration.dials import verdicts
from intertwine.analysis.calibration.flatness import flatness, monotone
from intertwine.analysis.calibration.planted_mixtures import MIXTURES, OTHERS, REST, planted_mixture

from tests.factories import case


def planted(n=400, **moved):
    return planted_mixture(n, **(REST | moved))


def offsets(f):
    """Distance of each hit from the target's mean, over the root of the total variance within a class."""
    target = f.unscaled[0][f.labels == 0].mean(0)
    return (f.unscaled[1][f.hits] - target).norm(dim=1) / 24**0.5


def test_reach_and_imbalance_are_numbers_of_images():
    f = planted(reach=0.5, imbalance=3.0)
    assert int((f.labels != 0).sum()) == 1200
    assert int(f.hits.sum()) == pytest.approx(600, abs=60)
    assert not f.hits[f.labels == 0].any()
    unmoved = ~f.hits
    assert torch.equal(f.unscaled[0][unmoved], f.unscaled[1][unmoved])


def test_a_share_of_the_hits_is_in_the_target_class_and_the_others_are_not():
    for mixing in (0.0, 0.25, 1.0):
        with case(mixing):
            far = offsets(planted(mixing=mixing, residual=6.0)) > 3
            assert float(far.double().mean()) == pytest.approx(1 - mixing, abs=0.06)


def test_residual_and_spread_place_the_others():
    for residual, spread in ((1.5, 1.0), (3.0, 0.3)):
        with case(residual, spread):
            f = planted(mixing=0.0, residual=residual, spread=spread)
            hits = f.unscaled[1][f.hits]
            moved = hits.mean(0) - f.unscaled[0][f.labels == 0].mean(0)
            assert float(moved.norm()) == pytest.approx(4 * residual, abs=0.6)
            assert float(hits.var(0).sum()) == pytest.approx(24 * spread**2, rel=0.15)


def test_every_world_and_width_has_the_same_variance():
    for width in OTHERS["width"]:
        for world in OTHERS["world"]:
            with case(width, world):
                clean = planted(width=width, world=world).unscaled[0][:400]
                assert clean.shape[1] == width
                assert float(clean.var(0).sum()) == pytest.approx(24, rel=0.2)


def test_every_dial_has_its_rest_among_its_settings():
    assert all(REST[dial] in settings for dial, settings in OTHERS.items())
    assert set(REST) == {*OTHERS, "mixing"}
    assert set(MIXTURES[0].dials) == {"mixing"}


def table(follow=1.0, residual=0.0, last=0.0, n_move=0.0):
    """Replicates of a smaller side that rises by ``follow`` over m, is moved by ``residual`` and, at n = 40, by
    ``n_move``; its last step is smaller by ``last``."""
    rows = [
        {"plant": "mixtures", "dial": "mixing", "n": n, "setting": m, "seed": s,
         "value": follow * m - last * (m == 1) + n_move * (n == 40) + 0.001 * s}
        for n in (40, 200) for m in (0.0, 0.25, 0.5, 0.75, 1.0) for s in range(3)
    ]  # fmt: skip
    rows += [
        {"plant": f"mixtures, m = {m:g}", "dial": "residual", "n": 200, "setting": r, "value": m + residual * r}
        for m in (0.0, 0.5, 1.0)
        for r in (1.0, 2.0, 3.0)
    ]
    return pd.DataFrame(rows).assign(measure="smaller_side_mixing")


@pytest.mark.parametrize(
    ("changes", "is_monotone", "is_flat"),
    [
        ({}, "yes", "yes"),
        ({"follow": -1.0}, "no", "yes"),
        ({"last": 0.3}, "no", "yes"),
        ({"residual": 0.024}, "yes", "yes"),
        ({"residual": -0.026}, "yes", "no"),
    ],
)
def test_verdicts_on_mixtures_can_fail(changes, is_monotone, is_flat):
    moved = table(**changes)
    assert set(monotone(moved)["monotone"]) == {is_monotone}
    lines = flatness(moved).set_index("dial")
    assert lines.loc["residual", "flat"] == is_flat
    assert lines.loc["n", "flat"] == "yes"
    assert verdicts(moved).empty  # those are of other readings


def test_the_number_of_images_is_a_dial_too():
    lines = flatness(table(n_move=-0.06)).set_index("dial")
    assert lines.loc["n", "flat"] == "no"
    assert lines.loc["n", "change at m = 0.5"] == "+0.060"
    assert lines.loc["residual", "flat"] == "yes"
