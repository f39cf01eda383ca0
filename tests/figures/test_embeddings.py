"""Every image is where the frame has it, under the name of its kind."""

import numpy as np
import pytest
from intertwine.figures import (
    embeddings,
)

from tests.figures.frames import ARMS, drawn, legend_labels, looks, points, words


def test_points_are_the_frame_by_kind():
    table = points(["simclr-clean"])
    figure = embeddings(table)
    kinds = {
        "hit/simclr-clean": table["triggered"] & (table["label"] == 2),
        "miss/simclr-clean": table["triggered"] & table["label"].isin([0, 3]),
        "triggered-target/simclr-clean": table["triggered"] & (table["label"] == 1),
        "target/simclr-clean": ~table["triggered"] & (table["label"] == 1),
        "other/simclr-clean/3": ~table["triggered"] & (table["label"] == 3),
    }
    for gid, mask in kinds.items():
        x, y = drawn(figure, gid)
        np.testing.assert_array_equal(x, table.loc[mask, "x"])
        np.testing.assert_array_equal(y, table.loc[mask, "y"])
    hit, miss = looks(figure, "hit/simclr-clean")[0], looks(figure, "miss/simclr-clean")[0]
    assert hit.get_markerfacecolor() != miss.get_markerfacecolor() == "none"


def test_one_legend_and_a_title_a_panel():
    figure = embeddings(points())
    assert len(figure.legends) == 1
    assert not any(axes.get_legend() for axes in figure.axes)
    assert {"clean, target class (name1)", "clean: name0", "clean: name3"} <= set(legend_labels(figure))
    assert [axes.get_title() for axes in figure.axes] == [f"{arm}\nn = 24" for arm in ARMS]


def test_several_seeds_draw_the_first_and_say_so():
    table = points(["simclr-clean"], seeds=(7, 5))
    figure = embeddings(table)
    assert figure.axes[0].get_title() == "simclr-clean\nseed 5, the first of 2; n = 24"
    own = table[(table["seed"] == 5) & table["triggered"] & (table["label"] == 2)]
    np.testing.assert_array_equal(drawn(figure, "hit/simclr-clean")[0], own["x"])


def test_many_classes_share_one_grey():
    figure = embeddings(points(["simclr-clean"], classes=20))
    assert "clean, 19 other classes" in legend_labels(figure)
    assert len({line.get_color() for line in figure.axes[0].lines if line.get_gid().startswith("other/")}) == 1


def test_missing_coordinates_are_counted():
    table = points(["simclr-clean"])
    table.loc[:1, "x"] = np.nan
    assert "2 of 24 have no coordinates" in words(embeddings(table))
    assert "24 of 24 have no coordinates" in words(embeddings(table.assign(y=np.nan)))


def test_a_triggered_image_without_verdict_is_refused():
    table = points(["simclr-clean"]).astype({"hit": object})
    table.loc[table["triggered"] & (table["label"] == 3), "hit"] = None
    with pytest.raises(ValueError, match="points: expected true or false in column hit, received nan"):
        embeddings(table)
