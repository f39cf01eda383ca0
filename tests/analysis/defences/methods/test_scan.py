"""SCAn: classes that are two groups under one covariance."""

import pytest
import torch
from intertwine.analysis.defences import scan
from intertwine.analysis.defences.methods.scan import global_model, split_in_two
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import (
    EACH,
    must_find_a_group_apart,
    must_flag_few_where_nothing_is_poisoned,
    planted,
)


def detect(x, labels):
    return scan(x, labels, *planted(0, 0, seed=101)[:2])


def test_a_group_apart_is_found():
    must_find_a_group_apart(detect, 0.95)


def test_where_there_is_no_poison_few_are_flagged():
    must_flag_few_where_nothing_is_poisoned(detect, 0.02)


def test_half_of_a_class_is_two_groups_too():
    x, labels, _ = planted(12.0, EACH // 2)
    assert scan(x, labels, *planted(0, 0, seed=9)[:2]).flagged[labels == 0].any()


def test_the_global_model_finds_both_covariances():
    """Forty identities of 50 images: within-class sd 1, identities 3 along the first axis."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(40).repeat_interleave(50)
    identities = torch.zeros(40, 4, dtype=torch.float64)
    identities[:, 0] = 3 * torch.randn(40, generator=g).double()
    x = identities[labels] + torch.randn(2000, 4, generator=g).double()
    between, within = global_model(x - x.mean(0), labels, shrinkage=0.0)
    torch.testing.assert_close(within, torch.eye(4, dtype=torch.float64), atol=0.08, rtol=0)
    assert between[0, 0] == pytest.approx(float(identities[:, 0].var()), rel=0.1)
    assert between[1:, 1:].abs().max() < 0.05


def test_a_class_is_split_where_its_two_groups_are():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(100, 3, generator=g).double()
    x[:30, 0] += 8
    second, leaning = split_in_two(x, torch.eye(3, dtype=torch.float64))
    assert second[:30].all()
    assert not second[30:].any()
    assert leaning[:30].min() > leaning[30:].max()
    same, _ = split_in_two(torch.ones(5, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    assert not same.any()


def test_what_it_refuses():
    x, labels, _ = planted(0, 0)
    with pytest.raises(InputError, match="clean_labels: expected at least two classes, received one"):
        scan(x, labels, x[:60], labels[:60])
