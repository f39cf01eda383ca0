"""How far above the median, in units that outliers do not move."""

import numpy as np
import torch
from intertwine.analysis.defences.common.robust import above_median

from tests.factories import randn


def test_how_far_above_the_median_is_in_units_of_sd():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0])
    torch.testing.assert_close(above_median(values), torch.tensor([0, 0, 0, 1, 97]).double() / 1.4826)
    assert above_median(torch.ones(5)).tolist() == [0] * 5
    assert above_median(torch.tensor([1.0, 1.0, 1.0, 2.0])).tolist() == [0, 0, 0, torch.inf]


def test_the_median_of_an_even_number_lies_in_the_middle():
    for n in (9, 10):
        values = randn(n, n)
        x = values.numpy()
        expected = np.maximum(0, x - np.median(x)) / (1.4826 * np.median(np.abs(x - np.median(x))))
        torch.testing.assert_close(above_median(values), torch.from_numpy(expected))
