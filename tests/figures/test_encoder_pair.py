"""Two encoders in one panel: the values that are drawn are those of the tables."""

import numpy as np
import pandas as pd
import pytest
from intertwine.figures import layer_similarity, spectra
from matplotlib.figure import Figure


def test_every_pair_of_layers_is_a_cell():
    values = {("stem", "a"): 0.9, ("stem", "b"): 0.1, ("top", "a"): 0.2, ("top", "b"): 0.75}
    pairs = pd.DataFrame([{"layer": x, "other_layer": y, "value": v} for (x, y), v in values.items()])
    axes = Figure().subplots()
    assert layer_similarity(pairs, x_label="B", y_label="A", ax=axes) is axes
    mesh = axes.collections[0].get_array()
    np.testing.assert_allclose(np.asarray(mesh).reshape(2, 2), [[0.9, 0.1], [0.2, 0.75]])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["stem", "top"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("B", "A")
    assert [t.get_text() for t in axes.texts] == ["0.90", "0.10", "0.20", "0.75"]


def test_a_spectrum_is_a_line():
    shares = pd.DataFrame(
        [{"encoder": e, "component": i, "share": s} for e in "AB" for i, s in ((1, 0.7), (2, 0.3), (3, 1e-30))]
    )
    figure = spectra(shares)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.7], [2, 0.3]], err_msg="what is numerically zero is left out")
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["A", "B"]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="missing value"):
        layer_similarity(pd.DataFrame({"layer": ["a"], "other_layer": ["b"]}), x_label="", y_label="")
