"""Every image is where the frame has it, under the name of its kind."""

import numpy as np
import pytest
from intertwine.figures import ROLES, embeddings
from matplotlib.legend import Legend

from tests.figures.frames import ARMS, drawn, legend_labels, looks, points, words


def test_points_are_the_frame_by_kind():
    table = points(["simclr-clean"])
    figure = embeddings(table)
    kinds = {
        "hit/simclr-clean": table["triggered"] & (table["label"] == 2),
        "miss/simclr-clean": table["triggered"] & table["label"].isin([0, 3]),
        "triggered-target/simclr-clean": table["triggered"] & (table["label"] == 1),
        "target/simclr-clean": ~table["triggered"] & (table["label"] == 1),
        "other/simclr-clean": ~table["triggered"] & (table["label"] != 1),
    }
    for gid, mask in kinds.items():
        x, y = drawn(figure, gid)
        np.testing.assert_array_equal(x, table.loc[mask, "x"])
        np.testing.assert_array_equal(y, table.loc[mask, "y"])
    inks = {kind: looks(figure, f"{kind}/simclr-clean")[0].get_color() for kind in ("hit", "miss", "target", "other")}
    assert inks == {"hit": ROLES["hits"], "miss": ROLES["misses"], "target": ROLES["target"], "other": ROLES["other"]}


def test_one_legend_and_a_title_a_panel():
    figure = embeddings(points())
    assert len(figure.findobj(Legend)) == 1
    assert {"clean, target class (name1)", "clean, other classes"} <= set(legend_labels(figure))
    assert [axes.get_title() for axes in figure.axes[: len(ARMS)]] == ARMS
    assert words(figure).count("n = 24") == 1, "once, as all have as many"
    assert words(figure).count("name3") == len(ARMS), "at the cluster, in every panel"


def test_several_seeds_draw_the_first_and_say_so():
    table = points(["simclr-clean"], seeds=(7, 5))
    figure = embeddings(table)
    assert "seed 5 of 2, n = 24" in words(figure)
    own = table[(table["seed"] == 5) & table["triggered"] & (table["label"] == 2)]
    np.testing.assert_array_equal(drawn(figure, "hit/simclr-clean")[0], own["x"])


def test_many_classes_are_not_named():
    assert "name3" not in words(embeddings(points(["simclr-clean"], classes=20)))


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
