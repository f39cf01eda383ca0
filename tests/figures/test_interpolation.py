"""Lines between two encoders are medians over runs."""

import numpy as np
from intertwine.figures import (
    interpolation,
)

from tests.figures.frames import between, drawn, looks


def test_lines_are_medians_over_runs_with_their_control():
    figure = interpolation(between())
    x, y = drawn(figure, "asr/simclr-clean")
    np.testing.assert_allclose(x, [0, 0.5, 1])
    np.testing.assert_allclose(y, [0.15, 0.55, 0.95])
    np.testing.assert_allclose(drawn(figure, "permuted/asr/simclr-clean")[1], [0.05, 0.45, 0.85])
    np.testing.assert_allclose(drawn(figure, "acc/supervised-dirty")[1], [0.8] * 3)
    assert [axes.get_title() for axes in figure.axes] == ["ASR", "ACC"]
    bands = [c.get_paths()[0].vertices[:, 1] for c in looks(figure, "asr/simclr-clean")[0].axes.collections]
    assert {(round(band.min(), 9), round(band.max(), 9)) for band in bands} == {(0.125, 0.975)}, "the middle half"
