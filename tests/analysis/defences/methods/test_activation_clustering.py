"""Activation clustering: a small group apart in a class."""

import pytest
import torch
from intertwine.analysis.defences import activation_clustering
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import (
    EACH,
    must_find_a_group_apart,
    must_flag_few_where_nothing_is_poisoned,
    planted,
)


def test_a_group_apart_is_found():
    must_find_a_group_apart(activation_clustering, 0.95)


def test_where_there_is_no_poison_few_are_flagged():
    """It cuts any class at a third or so if chance makes it uneven."""
    must_flag_few_where_nothing_is_poisoned(activation_clustering, 0.25)


def test_half_of_a_class_cannot_be_the_smaller_cluster():
    x, labels, _ = planted(12.0, EACH // 2)
    assert not activation_clustering(x, labels).flagged[labels == 0].any()


def test_a_class_without_spread_is_no_error():
    assert not activation_clustering(torch.zeros(20, 3), torch.arange(20) // 10).flagged.any()


def test_what_it_refuses():
    x, labels, _ = planted(0, 0)
    with pytest.raises(InputError, match="features: expected finite values"):
        activation_clustering(x * float("nan"), labels)
