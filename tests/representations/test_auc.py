"""The AUC against scikit-learn's, with ties and infinite scores, and its parts one a pair."""

import math

import pytest
import torch
from intertwine.representations import InputError
from intertwine.representations.auc import auc, placements
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_it_is_scikit_learn_s(seed, ties):
    g = torch.Generator().manual_seed(seed)
    high, low = torch.randn(17, generator=g) + 0.5, torch.randn(31, generator=g)
    if ties:
        high, low = (2 * high).round(), (2 * low).round()
    truth = [1] * len(high) + [0] * len(low)
    assert auc(high, low) == pytest.approx(roc_auc_score(truth, torch.cat([high, low]).numpy()), abs=1e-12)
    assert auc(low, high) == pytest.approx(1 - auc(high, low), abs=1e-12)


def test_scores_may_be_infinite():
    high, low = torch.tensor([torch.inf, 1.0, -torch.inf]), torch.tensor([torch.inf, 0.0])
    ranks = rankdata(torch.cat([high, low]).numpy())
    assert auc(high, low) == pytest.approx(roc_auc_score([1, 1, 1, 0, 0], ranks))


def test_without_one_of_the_groups_there_is_none():
    assert math.isnan(auc(torch.tensor([]), torch.tensor([1.0])))
    assert math.isnan(auc(torch.tensor([1.0]), torch.tensor([])))


@pytest.mark.parametrize("shape", [(23,), (23, 4)])
def test_the_mean_of_the_placements_is_the_auc(shape):
    g = torch.Generator().manual_seed(1)
    high, low = (torch.randint(9, shape, generator=g).double() + shift for shift in (1, 0))
    scores = placements(high, low)
    assert scores.shape == shape
    assert scores.min() >= 0
    assert scores.max() <= 1
    columns = zip(scores.view(23, -1).T, high.view(23, -1).T, low.view(23, -1).T, strict=True)
    for column, first, second in columns:
        assert float(column.mean()) == pytest.approx(auc(first, second), abs=1e-12)


def test_placements_of_unequal_groups_are_refused():
    with pytest.raises(InputError, match=r"high, low: expected equal shapes, received \(3,\) and \(2,\)"):
        placements(torch.zeros(3), torch.zeros(2))
