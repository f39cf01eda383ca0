"""The first figure of a paper shows its tables."""

import pytest

from tests.figures.frames import looks, summed_up, words


def test_the_parts_are_the_tables():
    figure = summed_up()
    for gid, value in (("reading/simclr-clean", 0.7), ("benign/supervised-dirty", 0.1)):
        assert [line.get_xdata()[0] for line in looks(figure, gid)] == pytest.approx([value] * 3)
    assert looks(figure, "target/simclr-clean")
    assert {"a", "b"} <= set(words(figure))
    assert not any("supervised-clean" in word for word in words(figure)), "other arms are left out"


def test_arms_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="arms: expected arms in points and rows, received supcon-dirty"):
        summed_up(arms=["simclr-clean", "supcon-dirty"])
