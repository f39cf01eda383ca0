"""Random streams are functions of a seed and a purpose."""

import hashlib

import numpy as np
import pytest
import torch
from intertwine.representations.seeds import derive_seed, generator


@pytest.mark.parametrize(
    ("arguments", "value"),
    [((0, "order", 3), 2723741169552378311), ((7,), 4359823973405836615), ((0, "init"), 1519069808562059438)],
)
def test_values_are_pinned(arguments, value):
    """They decide every published number: a change here is a change of all results."""
    assert derive_seed(*arguments) == value


def test_a_seed_is_the_first_63_bits_of_the_hash_of_seed_and_purpose():
    digest = hashlib.sha256(b"0/order/3").hexdigest()[:16]
    assert derive_seed(0, "order", 3) == int(digest, 16) // 2


def test_seeds_fit_63_bits_and_differ():
    seeds = {derive_seed(seed, purpose, step) for seed in range(10) for purpose in ("a", "b") for step in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # the whole range is used


def test_numpy_integers_are_the_same_seed():
    assert derive_seed(np.int64(3), "order", np.int32(2)) == derive_seed(3, "order", 2)


def test_equal_purposes_give_equal_streams_and_each_is_fresh():
    first = torch.rand(5, generator=generator(1, "a"))
    assert torch.equal(first, torch.rand(5, generator=generator(1, "a")))


@pytest.mark.parametrize("other", [(1, "b"), (2, "a"), (1, "a", 0), (1,)])
def test_streams_of_different_purposes_are_independent(other):
    x, y = (torch.randn(20_000, generator=generator(*purpose)) for purpose in ((1, "a"), other))
    assert abs(float((x * y).mean())) < 4 / 20_000**0.5


def test_neighbouring_steps_are_independent():
    first = torch.stack([torch.randn(200, generator=generator(0, "augment", step)) for step in range(100)])
    lagged = (first[:-1] * first[1:]).mean()
    assert abs(float(lagged)) < 4 / (99 * 200) ** 0.5


def test_drawing_from_one_stream_moves_no_other():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a, b = generator(0, "a"), generator(0, "b")
    expected = torch.rand(3, generator=generator(0, "b"))
    torch.rand(100, generator=a)
    assert torch.equal(torch.rand(3, generator=b), expected)
    assert torch.equal(torch.get_rng_state(), before)
