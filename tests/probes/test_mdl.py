"""Codelength against the code written out bit by bit, and its ends."""

from itertools import pairwise
from math import exp, isfinite, log, log2

import numpy as np
import pytest
import torch
from intertwine.probes import trigger_codelength
from intertwine.representations import InputError
from intertwine.representations.seeds import generator
from sklearn.linear_model import LogisticRegression


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_codelength(clean, triggered, seed):
    """Voita and Titov, §3: the first tenth at one bit a label, then −log2 p(label) by a probe fitted on all before."""
    n = len(clean)
    order = torch.randperm(n, generator=generator(seed, "codelength", n)).tolist()
    rows, labels = [], []
    for i in order:
        for x, label in ((clean[i], 0), (triggered[i], 1)):
            rows.append((x / x.norm()).numpy())
            labels.append(label)
    rows, labels = np.array(rows), np.array(labels)
    bits = 0.0
    ends = [int(share * n + 0.5) for share in (0.1, 0.2, 0.4, 0.7, 1.0)]
    bits += 2 * ends[0]
    for before, end in pairwise(ends):
        known = rows[: 2 * before]
        mean, sd = known.mean(0), known.std(0, ddof=1)
        model = LogisticRegression(max_iter=200).fit((known - mean) / sd, labels[: 2 * before])
        for row, label in zip(rows[2 * before : 2 * end], labels[2 * before : 2 * end], strict=True):
            p = 1 / (1 + exp(-float(((row - mean) / sd) @ model.coef_[0] + model.intercept_[0])))
            bits -= log2(p if label == 1 else 1 - p)
    return bits / (2 * n)


@pytest.mark.parametrize(("n", "seed"), [(20, 0), (33, 1), (60, 2)])
def test_follows_the_code_written_out(n, seed):
    clean = randn(0, n, 4)
    triggered = clean + 0.5 * randn(1, n, 4) + 0.8 * randn(2, 1, 4)
    value = trigger_codelength(clean, triggered, seed=seed)
    assert value == pytest.approx(slow_codelength(clean, triggered, seed), abs=1e-6)


def test_identical_features_cost_one_bit_a_label():
    x = randn(0, 50, 6)
    assert trigger_codelength(x, x.clone()) == pytest.approx(1)


def test_a_trigger_that_cannot_be_read_costs_a_bit_or_more():
    values = [trigger_codelength(randn(i, 60, 20), randn(100 + i, 60, 20)) for i in range(5)]
    assert min(values) > 0.95
    assert sum(values) / 5 > 1


@pytest.mark.parametrize("d", [2, 50])
def test_far_apart_costs_little_more_than_the_first_tenth(d):
    clean = 0.01 * randn(0, 400, d)
    clean[:, 0] += 1
    triggered = clean.clone()
    triggered[:, 0] -= 2
    assert 0.1 < trigger_codelength(clean, triggered) < 0.15


def test_it_orders_triggers_that_an_auc_cannot_tell_apart():
    """All of them are read without fault in the end; the code says how soon."""
    noise = randn(0, 100, 30)
    clean = noise.clone()
    values = []
    for strength in (8.0, 4.0, 2.0):
        triggered = noise + 0.05 * randn(1, 100, 30)
        triggered[:, 0] += strength
        values.append(trigger_codelength(clean, triggered))
    assert values == sorted(values)
    assert values[2] - values[0] > 0.1


@pytest.mark.parametrize("seed", range(6))
def test_confidently_wrong_is_dear_but_finite(seed):
    """One pair is the wrong way round, and 10⁹ standard deviations out: p of the truth rounds to 0, −log p must not
    be infinite."""
    clean = torch.tensor([[1.0, 1e-10]]).double().repeat(30, 1)
    triggered = torch.tensor([[1.0, -1e-10]]).double().repeat(30, 1)
    clean[7, 1], triggered[7, 1] = -0.5, 0.5
    value = trigger_codelength(clean, triggered, seed=seed)
    assert isfinite(value)
    order = torch.randperm(30, generator=generator(seed, "codelength", 30)).tolist()
    if order.index(7) >= 3:  # it is coded by a probe, and not in the first tenth
        assert value > log(2) * 100


def test_the_order_is_seeded():
    clean = randn(0, 40, 4)
    triggered = clean + 0.5
    assert trigger_codelength(clean, triggered, seed=1) == trigger_codelength(clean, triggered, seed=1)
    assert trigger_codelength(clean, triggered, seed=1) != trigger_codelength(clean, triggered, seed=2)


def test_swapping_the_roles_costs_the_same():
    clean = randn(0, 40, 4)
    triggered = clean + 0.5
    assert trigger_codelength(triggered, clean) == pytest.approx(trigger_codelength(clean, triggered), abs=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((19, 3), (19, 3), "clean: expected at least 20 images, received 19"),
        ((20, 3), (21, 3), r"received \(20, 3\), \(21, 3\)"),
        ((20,), (20,), r"received \(20,\), \(20,\)"),
    ],
)
def test_bad_input_is_named(a, b, message):
    with pytest.raises(InputError, match=message):
        trigger_codelength(torch.zeros(a), torch.zeros(b))
