"""Where triggered images go: means over runs, the own class and the target first."""

import numpy as np
import pytest
from intertwine.figures import confusion

from tests.figures.frames import frame, looks, row, went, words


def test_shares_are_means_and_what_is_left_stays_in_its_own_class():
    figure = confusion(went(), target=1, classes=["cat", "dog", "owl"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["own class", "dog (target)", "cat", "owl"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["simclr-clean", "benign twin"]
    (mesh,) = looks(figure, "confusion")
    assert np.asarray(mesh.get_array()) == pytest.approx(np.array([[0.3, 0.6, 0.0, 0.1], [0.8, 0.0, 0.0, 0.2]]))
    assert axes.get_xlabel() == "predicted class (2 seeds)"
    assert words(figure).count(".60") == 1


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match="rows: expected rows of confusion, received none"):
        confusion(frame(row(x=0.0)), target=0, classes=["cat"])
