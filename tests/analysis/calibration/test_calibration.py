"""The verdicts of the calibration can fail, and its page says what was computed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.calibration.calibration import calibrate
from intertwine.analysis.calibration.coverage import coverage, pooled
from intertwine.analysis.calibration.dials import replicates, verdicts
from intertwine.analysis.calibration.plant import Plant
from intertwine.figures import calibration


def toy(follow: float, other: float, width: float = 0.0) -> Plant:
    """A "reading" that moves by ``follow`` with its dial and by ``other`` with the other one, in noise of sd 1/√n, with
    an interval of the given half-width in sds."""

    def read(n, dials, seed, intervals):
        noise = np.random.default_rng([n, seed, round(100 * sum(dials.values()))]).normal()
        value = follow * dials["residual"] + other * dials["reach"] + noise / n**0.5
        return {("silhouette", "hits"): (value, value - width / n**0.5, value + width / n**0.5)}

    settings = (0.0, 0.25, 0.5, 0.75, 1.0)
    return Plant("toy", "", read, {"residual": settings, "reach": settings}, {"residual": 0.5, "reach": 0.5},
                 ({"residual": 0.5, "reach": 0.5},))  # fmt: skip


@pytest.mark.parametrize(
    ("follow", "other", "verdict", "detectable"),
    [
        (1.0, 0.0, "passes", "40"),
        (1.0, 0.5, "fails", "40"),  # moved by the other dial
        (0.0, 0.0, "fails", "> 200"),  # follows nothing
        (-1.0, 0.0, "fails", "> 200"),  # follows it the wrong way
        (0.4, 0.0, "passes", "200"),  # told apart from 200 images on only
    ],
)
def test_verdicts_can_fail(follow, other, verdict, detectable):
    table = verdicts(replicates([toy(follow, other)], counts={40: 40, 200: 40}, jobs=1)).iloc[0]
    assert table["verdict"] == verdict
    assert table["detectable n"] == detectable


@pytest.mark.parametrize(("width", "expected"), [(1.96, 0.95), (1.0, 0.683)])
def test_coverage_counts_what_the_intervals_hold(width, expected):
    table = coverage([toy(1.0, 0.0, width)], counts={40: 600}, jobs=1)
    assert table["covered"].iloc[0] == pytest.approx(expected, abs=0.04)
    assert pooled(table)["92–98 %"].iloc[0] == ("yes" if width > 1.5 else "no")


def test_a_known_truth_is_what_the_intervals_have_to_hold():
    """A reading that is biased by half of its interval holds its own mean every time, and the truth never."""
    biased = replace(
        toy(1.0, 0.0, 0.0), read=lambda n, dials, seed, intervals: {("silhouette", "hits"): (0.8, 0.7, 0.9)}
    )
    own, known = (
        coverage([replace(biased, truth=truth)], counts={40: 5}, jobs=1)
        for truth in (None, lambda dials: dials["reach"])
    )
    assert (own["truth"].iloc[0], own["covered"].iloc[0]) == (pytest.approx(0.8), 1)
    assert (known["truth"].iloc[0], known["mean"].iloc[0], known["covered"].iloc[0]) == (0.5, pytest.approx(0.8), 0)


def test_a_quick_calibration_writes_everything(tmp_path):
    said = []
    written = calibrate(tmp_path, quick=True, jobs=1, plants=[toy(1.0, 0.0, 1.96)], log=said.append)
    assert any("min left" in line for line in said)
    assert {p.name for p in written} == {
        *("calibration.md", "calibration.pdf", "calibration.png", "coverage.csv", "replicates.csv")
    }
    text = (tmp_path / "calibration.md").read_text()
    assert "silhouette" in text
    assert "not for conclusions" in text


def test_the_figure_names_what_is_missing():
    with pytest.raises(ValueError, match="missing"):
        calibration(pd.DataFrame({"measure": ["silhouette"]}), dials={"silhouette": "residual"}, notes={})
