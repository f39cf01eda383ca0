"""The one ridge solver against scikit-learn's, from the smaller of the two systems."""

import numpy as np
import pytest
import torch
from intertwine.representations.ridge import ridge_weights
from sklearn.linear_model import Ridge


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 30), (15, 15)])
@pytest.mark.parametrize("penalty", [1e-3, 10.0])
def test_it_is_scikit_learn_s(n, d, penalty):
    g = torch.Generator().manual_seed(n)
    x, y = torch.randn(n, d, generator=g, dtype=torch.float64), torch.randn(n, 3, generator=g, dtype=torch.float64)
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(x.numpy(), y.numpy()).coef_.T
    np.testing.assert_allclose(ridge_weights(x, y, penalty).numpy(), expected, atol=1e-9)


def test_the_inputs_stay_as_they_are():
    x, y = torch.eye(4, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    ridge_weights(x, y, 1.0)
    assert torch.equal(x, torch.eye(4, dtype=torch.float64))
    assert torch.equal(y, torch.ones(4, 1, dtype=torch.float64))
