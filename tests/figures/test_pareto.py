"""The front holds what nothing else beats, and its names."""

import numpy as np
import pytest
from intertwine.figures import pareto

from tests.figures.frames import drawn, priced, words


def test_the_front_is_named_and_the_rest_is_not():
    figure = pareto(priced(), labels={"dear": "ANP"})
    x, y = drawn(figure, "front/simclr-clean")
    assert (list(x), list(y)) == (pytest.approx([0.0, 0.2]), pytest.approx([0.35, 0.15]))
    assert np.ravel(drawn(figure, "rest/simclr-clean")) == pytest.approx([0.3, 0.55])
    assert {"good", "ANP"} <= set(words(figure))
    assert "bad" not in words(figure)


def test_a_gain_counts_as_no_cost_and_a_missing_number_leaves_a_seed_out():
    rows = priced()
    rows.loc[rows.defence == "good", "acc_lost"] = -0.1
    rows.loc[(rows.defence == "good") & (rows.seed == 1), "asr"] = np.nan
    assert np.ravel(drawn(pareto(rows), "front/simclr-clean")) == pytest.approx([0.0, 0.2, 0.3, 0.15])
    with pytest.raises(ValueError, match="outcomes: expected lines with ASR and ACC lost, received none"):
        pareto(rows.assign(asr=np.nan))
