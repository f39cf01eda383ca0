"""A field's values along the axis, readings and benign twins above them."""

import numpy as np
import pytest
from intertwine.figures import (
    sweep,
)

from tests.figures.frames import drawn, legend_labels, swept


def test_values_stand_in_their_order_with_benign_twins():
    figure = sweep(swept(), field="target", measures=["neighbour_mixing"])
    np.testing.assert_allclose(drawn(figure, "simclr-clean/neighbour_mixing")[1], [0.35, 0.45])
    np.testing.assert_allclose(drawn(figure, "benign/simclr-clean/neighbour_mixing")[1], [0.05, 0.05])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["3", "0"]
    assert "no run is ok" not in legend_labels(figure)


def test_where_no_run_is_ok_the_point_is_hollow():
    rows = swept()
    rows.loc[(rows["target"] == "3") & (rows["arm"] == "simclr-clean"), "status"] = "too_few_hits"
    figure = sweep(rows, field="target", measures=["neighbour_mixing"])
    np.testing.assert_allclose(drawn(figure, "simclr-clean/neighbour_mixing")[1], [np.nan, 0.45])
    np.testing.assert_allclose(drawn(figure, "not-ok/simclr-clean/neighbour_mixing")[1], [0.35, np.nan])
    np.testing.assert_allclose(drawn(figure, "benign/simclr-clean/neighbour_mixing")[1], [np.nan, 0.05])
    assert "no run is ok" in legend_labels(figure)
    with pytest.raises(ValueError, match="measures: expected names among those in rows, received silhouette"):
        sweep(rows, field="target", measures=["silhouette"])
