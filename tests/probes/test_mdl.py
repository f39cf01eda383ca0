"""Codelength against the code written out bit by bit, and its ends."""

from itertools import pairwise
from math import isfinite, log, log2

import numpy as np
import pytest
import torch
from intertwine.probes.logistic import fit_logistic
from intertwine.probes.mdl import _cost, codelength, trigger_codelength
from intertwine.representations import InputError
from intertwine.representations.seeds import generator
from sklearn.linear_model import LogisticRegression

from tests.factories import case, randn


def slow_codelength(rows, labels, images, order, classes):
    """Voita and Titov, §3, row by row: the first tenth of the images at log2(K) bits a label, then −log2 p(label) by a
    probe fitted on all before. A class not seen yet has the share of one label beside those seen."""
    n = len(order)
    ends = [int(share * n + 0.5) for share in (0.1, 0.2, 0.4, 0.7, 1.0)]
    bits = {i: log2(classes) for i in range(len(rows)) if images[i] in order[: ends[0]]}
    for before, end in pairwise(ends):
        seen = [i for i in range(len(rows)) if images[i] in order[:before]]
        known = np.array([rows[i] for i in seen])
        mean, sd = known.mean(0), known.std(0, ddof=1)
        model = LogisticRegression(C=1 / known.shape[1], max_iter=1000).fit(
            (known - mean) / sd, [labels[i] for i in seen]
        )
        unseen = classes - len(model.classes_)
        for i in range(len(rows)):
            if images[i] not in order[before:end]:
                continue
            said = dict(zip(model.classes_, model.predict_proba([(rows[i] - mean) / sd])[0], strict=True))
            p = said.get(labels[i], 1 / len(seen)) * len(seen) / (len(seen) + unseen)
            bits[i] = -log2(p)
    return [bits[i] for i in range(len(rows))]


def order_of(n, seed, index):
    return torch.randperm(n, generator=generator(seed, "codelength", n, index)).tolist()


@pytest.mark.parametrize(("n", "seed", "orders"), [(20, 0, 1), (33, 1, 3), (60, 2, 2)])
def test_follows_the_code_written_out(n, seed, orders):
    clean = randn(0, n, 4)
    triggered = clean + 0.5 * randn(1, n, 4) + 0.8 * randn(2, 1, 4)
    both = torch.cat([clean, triggered])
    rows = list((both / both.norm(dim=1, keepdim=True)).numpy())
    labels, images = [0] * n + [1] * n, list(range(n)) * 2
    expected = np.mean([slow_codelength(rows, labels, images, order_of(n, seed, i), 2) for i in range(orders)], axis=0)
    result = trigger_codelength(clean, triggered, orders=orders, seed=seed)
    assert float(result) == result.value == pytest.approx(expected.mean(), abs=1e-6)
    assert result.scores.tolist() == pytest.approx(((expected[:n] + expected[n:]) / 2).tolist(), abs=1e-6)
    assert float(result.scores.mean()) == pytest.approx(result.value)


def test_several_classes_some_unseen_at_first_follow_the_code_written_out():
    """Class 9 is rare: the first probes have not met it and code it by escape."""
    labels = torch.tensor([2] * 20 + [5] * 20 + [9] * 2)
    features = 1.5 * torch.eye(4)[labels % 4].double() + 0.5 * randn(0, 42, 4)
    rows = list((features / features.norm(dim=1, keepdim=True)).numpy())
    met_late = 0
    for seed in range(4):
        order = order_of(42, seed, 0)
        met_late += not {40, 41} & set(order[:8])
        expected = slow_codelength(rows, labels.tolist(), list(range(42)), order, 3)
        result = codelength(features, labels, orders=1, seed=seed)
        assert result.scores.tolist() == pytest.approx(expected, abs=1e-4)
        assert result.value == pytest.approx(sum(expected) / 42, abs=1e-4)
    assert met_late > 0


def test_the_code_is_a_code():
    """Escape leaves a proper distribution: over all labels that the row could have had, the probabilities sum to 1."""
    labels = torch.tensor([0] * 10 + [1] * 10 + [2] * 10 + [3] * 2)
    features = randn(0, 32, 3)
    probe = fit_logistic(features[:20], labels[:20])
    p = [2 ** -float(_cost(probe, features[20:21], torch.tensor([c]), 20, 4) / log(2)) for c in range(4)]
    assert sum(p) == pytest.approx(1)
    assert p[2] == p[3] == pytest.approx(1 / 22)


def test_the_trigger_is_the_special_case_of_two_labels_that_stay_together():
    clean = randn(0, 40, 4)
    triggered = clean + 0.5 * randn(1, 1, 4)
    # The rows in another order, ids that are not 0, 1, …: ascending ids give the scores' order.
    shuffled = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    features, labels = torch.cat([clean, triggered])[shuffled], (torch.arange(80) // 40)[shuffled]
    general = codelength(features, labels, groups=(100 + 3 * torch.arange(40).repeat(2))[shuffled], seed=3)
    special = trigger_codelength(clean, triggered, seed=3)
    assert general.value == pytest.approx(special.value, abs=1e-4)
    assert general.scores.tolist() == pytest.approx(special.scores.tolist(), abs=1e-3)


def test_more_orders_vary_less():
    noise = randn(1, 40, 10)
    triggered = noise + 0.5 * randn(2, 40, 10)
    triggered[:, 0] += 1
    spread = [
        torch.tensor([trigger_codelength(noise, triggered, orders=orders, seed=s).value for s in range(12)]).std()
        for orders in (1, 6)
    ]
    assert spread[1] < 0.7 * spread[0]


def test_constant_features_cost_the_entropy_of_the_labels():
    x = torch.full((60, 3), 0.7)
    assert trigger_codelength(x, x).value == pytest.approx(1, abs=1e-6)
    labels = (torch.arange(400) % 10 == 0).long()  # entropy of one in ten: .469 bits, and 1 bit in the first tenth
    assert codelength(torch.ones(400, 2), labels).value == pytest.approx(0.1 + 0.9 * 0.469, abs=0.03)


def test_identical_features_cost_one_bit_a_label():
    x = randn(0, 50, 6)
    assert float(trigger_codelength(x, x.clone())) == pytest.approx(1)


def test_a_trigger_that_cannot_be_read_costs_a_bit_or_more():
    values = [float(trigger_codelength(randn(i, 60, 20), randn(100 + i, 60, 20))) for i in range(5)]
    assert min(values) > 0.95
    assert sum(values) / 5 > 1


@pytest.mark.parametrize("d", [24, 128, 512])
def test_noise_costs_about_a_bit_at_every_width(d):
    """With the prior N(0, 1): up to 2.6 bits for two sets of one distribution, and 2.4 for noise on the same images."""
    clean = randn(0, 200, d)
    for triggered in (randn(1, 200, d), clean + 0.05 * randn(2, 200, d)):
        assert trigger_codelength(clean, triggered, orders=2).value == pytest.approx(1, abs=0.06)


def test_far_apart_costs_little_more_than_the_first_tenth_with_enough_images():
    """One of d features gives the trigger away: under the prior N(0, 1/d) it takes more images the wider the layer."""

    def value(d, n):
        clean = 0.01 * randn(0, n, d)
        clean[:, 0] += 1
        triggered = clean.clone()
        triggered[:, 0] -= 2
        return trigger_codelength(clean, triggered, orders=1).value

    assert 0.1 < value(2, 400) < 0.15
    assert 0.15 < value(50, 4000) < value(50, 400) < 0.5


def test_it_orders_triggers_that_an_auc_cannot_tell_apart():
    """All of them are read without fault in the end; the code says how soon."""
    noise = randn(0, 100, 30)
    clean = noise.clone()
    values = []
    for strength in (8.0, 4.0, 2.0):
        triggered = noise + 0.05 * randn(1, 100, 30)
        triggered[:, 0] += strength
        values.append(float(trigger_codelength(clean, triggered)))
    assert values == sorted(values)
    assert values[2] - values[0] > 0.1


def test_confidently_wrong_is_dear_but_finite():
    """One pair is the wrong way round, and 10⁹ standard deviations out: p of the truth rounds to 0, −log p must not
    be infinite."""
    for seed in range(6):
        with case(seed):
            clean = torch.tensor([[1.0, 1e-10]]).double().repeat(30, 1)
            triggered = torch.tensor([[1.0, -1e-10]]).double().repeat(30, 1)
            clean[7, 1], triggered[7, 1] = -0.5, 0.5
            value = float(trigger_codelength(clean, triggered, orders=1, seed=seed))
            assert isfinite(value)
            if order_of(30, seed, 0).index(7) >= 3:  # it is coded by a probe, and not in the first tenth
                assert value > log(2) * 100


def test_the_order_is_seeded():
    clean = randn(0, 40, 4)
    triggered = clean + 0.5
    first, again, other = (trigger_codelength(clean, triggered, seed=seed).value for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_swapping_the_roles_costs_the_same():
    clean = randn(0, 40, 4)
    triggered = clean + 0.5
    there, back = trigger_codelength(clean, triggered), trigger_codelength(triggered, clean)
    assert there.value == pytest.approx(back.value, abs=1e-4)


def test_bad_input_is_named():
    for a, b, message in (
        ((19, 3), (19, 3), "clean: expected at least 20 images, received 19"),
        ((20, 3), (21, 3), r"received \(20, 3\), \(21, 3\)"),
        ((20,), (20,), r"received \(20,\), \(20,\)"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            trigger_codelength(torch.zeros(a), torch.zeros(b))


def test_bad_input_of_the_general_code_is_named():
    for changes, message in (
        ({"labels": torch.zeros(29).long()}, r"features, labels: expected \(n, d\) and \(n,\), received \(30, 3\) and"),
        ({"labels": torch.ones(30).long()}, r"labels: expected at least two classes, received \[1\]"),
        ({"groups": torch.arange(29)}, r"groups: expected shape \(30,\), received \(29,\)"),
        ({"groups": torch.arange(30) // 2}, "groups: expected at least 20 images, received 15"),
        ({"orders": 0}, "orders: expected at least 1, received 0"),
        ({"features": torch.full((30, 3), torch.nan)}, "features: expected finite values"),
    ):
        with case(message):
            arguments = {"features": randn(0, 30, 3), "labels": torch.arange(30) % 2} | changes
            with pytest.raises(InputError, match=message):
                codelength(**arguments)
