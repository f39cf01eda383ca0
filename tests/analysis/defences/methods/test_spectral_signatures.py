"""Spectral signatures: the projection on a class's first singular vector."""

import pytest
import torch
from intertwine.analysis.defences import spectral_signatures
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import must_find_a_group_apart, must_flag_few_where_nothing_is_poisoned, planted


def test_a_group_apart_is_found():
    must_find_a_group_apart(spectral_signatures, 0.7)  # it always cuts 15 % of 60


def test_where_there_is_no_poison_few_are_flagged():
    """15 % of every class by its rule."""
    must_flag_few_where_nothing_is_poisoned(spectral_signatures, 0.15)


def test_spectral_is_the_projection_on_the_first_singular_vector():
    x, labels, _ = planted(12.0, 12)
    own = x[labels == 0]
    centred = (own - own.mean(0)).numpy()
    first = torch.linalg.eigh(torch.tensor(centred.T @ centred)).eigenvectors[:, -1]
    expected = (torch.tensor(centred) @ first) ** 2
    torch.testing.assert_close(spectral_signatures(x, labels).scores[labels == 0], expected)


def test_a_class_without_spread_is_no_error():
    assert not spectral_signatures(torch.zeros(20, 3), torch.arange(20) // 10).flagged.any()


def test_what_it_refuses():
    x, labels, _ = planted(0, 0)
    with pytest.raises(InputError, match=r"features, labels: expected \(n, d\) and \(n,\)"):
        spectral_signatures(x, labels[:5])
    with pytest.raises(InputError, match="labels: expected at least 2 images of a class, received 1 of class 0"):
        spectral_signatures(x, torch.arange(len(x)))
