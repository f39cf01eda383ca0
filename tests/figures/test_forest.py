"""Every effect is drawn with its interval and verdict."""

import numpy as np
import pytest
from intertwine.figures import (
    forest,
)

from tests.factories import case
from tests.figures.frames import claims, drawn, words


def test_every_effect_is_drawn_with_its_interval():
    figure = forest(claims(), margin=0.1)
    x, _ = drawn(figure, "C4/simclr-clean/supervised-dirty/neighbour_mixing")
    assert x == pytest.approx([0.4])
    x, y = drawn(figure, "interval/C4/simclr-clean/supervised-dirty/gradient_alignment")
    assert x == pytest.approx([0.35, 0.45])
    assert y[0] == y[1]
    assert {"C2  supervised-dirty", "C4  simclr-clean − supervised-dirty"} <= set(words(figure))
    assert words(figure).count("indicative: supported") == 2, "one verdict a claim"


def test_an_effect_that_is_not_there_is_a_word():
    figure = forest(claims(effect=np.nan, verdict="not evaluable"), margin=0.1)
    assert words(figure).count("no value") == 4
    assert words(figure).count("not evaluable") == 2


def test_a_margin_is_positive():
    for margin in (0, -1, np.nan):
        with case(margin), pytest.raises(ValueError, match="margin: expected a positive number"):
            forest(claims(), margin=margin)
