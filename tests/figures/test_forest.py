"""Every part of a claim is drawn with its intervals, its margin and the verdict."""

import matplotlib
import numpy as np
import pytest
from intertwine.figures import forest

from tests.factories import case
from tests.figures.frames import claims, drawn, words


def shaded(figure, side):
    """Left and right edges of the regions in which parts with this side hold."""
    patches = [patch for axes in figure.axes for patch in axes.patches if patch.get_gid() == f"holds/{side}"]
    return [(patch.get_x(), patch.get_x() + patch.get_width(), patch.axes.get_xlim()) for patch in patches]


def test_every_part_is_drawn_with_its_intervals():
    figure = forest(claims())
    x, _ = drawn(figure, "C4/simclr/supervised/smaller_side_mixing")
    assert x == pytest.approx([0.4])
    x, y = drawn(figure, "interval/C4/simclr/supervised/interference")
    assert x == pytest.approx([0.35, 0.45])
    assert y[0] == y[1]
    x, _ = drawn(figure, "interval90/C4/simclr/supervised/interference")
    assert x == pytest.approx([0.36, 0.44])
    assert {"C2", "supervised-dirty", "C4", "simclr − supervised"} <= set(words(figure))
    assert words(figure).count("indicative: supported") == 2, "one verdict a claim"


def test_the_region_in_which_a_part_holds_is_shaded():
    figure = forest(claims())
    ((left, right, limits),) = shaded(figure, "below")
    assert (left, right) == pytest.approx((limits[0], 0.1))
    ((left, right, limits),) = shaded(figure, "within")
    assert (left, right) == pytest.approx((-0.15, 0.15))
    for left, right, limits in shaded(figure, "above"):
        assert (left, right) == pytest.approx((0.05, limits[1]))


def test_claims_have_their_own_panels_and_what_is_beside_has_none():
    figure = forest(claims())
    assert len([axes for axes in figure.axes if axes.axison]) == 4
    one = claims()
    one.loc[one.measure == "interference", "side"] = ""
    assert len([axes for axes in forest(one).axes if axes.axison]) == 2


def test_names_of_exploratory_claims_are_grey():
    colors = {}
    for family in ("registered", "exploratory"):
        texts = forest(claims(family=family), width=7).findobj(matplotlib.text.Text)
        colors[family] = {text.get_color() for text in texts if text.get_text() == "supervised-dirty"}
        assert len(colors[family]) == 1
    assert colors["registered"].isdisjoint(colors["exploratory"])


def test_an_interaction_is_named_as_a_difference_of_differences():
    figure = forest(claims(arm="simclr − supervised, clean", against="dirty"))
    assert "(simclr − supervised), clean − dirty" in words(figure)


def test_an_effect_that_is_not_there_is_a_dash():
    figure = forest(claims(effect=np.nan, verdict="not evaluable"))
    assert words(figure).count("–") == 4
    assert words(figure).count("not evaluable") == 2


def test_what_it_refuses():
    for margin in (0, -1):
        with case(margin), pytest.raises(ValueError, match="margin: expected positive numbers"):
            forest(claims(margin=margin))
    with pytest.raises(ValueError, match="side: expected below, above or within, received 'left'"):
        forest(claims(side="left"))
