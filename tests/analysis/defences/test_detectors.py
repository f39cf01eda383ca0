"""Detectors on planted features: each works where it should by construction, is blind where its rule is, and finds
nothing where there is nothing."""

import pytest
import torch
from intertwine.analysis.defences import (
    abl_isolation,
    activation_clustering,
    beatrix,
    scan,
    spectral_signatures,
    strip,
)
from intertwine.analysis.defences.beatrix import gram_powers
from intertwine.analysis.defences.scan import anomaly_index, global_model, split_in_two
from intertwine.representations.errors import InputError
from sklearn.metrics import roc_auc_score

CLASSES, EACH, D = 6, 60, 12


def planted(shift: float, poisons: int, *, seed: int = 0, spread: float = 1.0):
    """Features of classes at ±6 along axes of their own, the first ``poisons`` images of class 0 moved by ``shift``
    along an axis that no class has; features, labels, mask."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    x = 6 * torch.eye(D, dtype=torch.float64)[labels] + spread * torch.randn(len(labels), D, generator=g).double()
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[:poisons] = True
    x[mask, D - 1] += shift
    return x, labels, mask


def detectors(x, labels, seed=1):
    clean, clean_labels, _ = planted(0, 0, seed=100 + seed)
    return {
        "ac": activation_clustering(x, labels),
        "spectral": spectral_signatures(x, labels),
        "scan": scan(x, labels, clean, clean_labels),
        "beatrix": beatrix(x, labels, clean, clean_labels),
    }


@pytest.mark.parametrize("name", ["ac", "spectral", "scan", "beatrix"])
def test_a_group_apart_is_found(name):
    x, labels, mask = planted(12.0, 12)
    found = detectors(x, labels)[name]
    assert found.scores.shape == found.flagged.shape == labels.shape
    own = labels == 0
    assert roc_auc_score(mask[own], found.scores[own]) > 0.95
    assert found.flagged[mask].double().mean() > (0.7 if name == "spectral" else 0.95)  # it always cuts 15 % of 60


@pytest.mark.parametrize(("name", "most"), [("ac", 0.25), ("spectral", 0.15), ("scan", 0.02), ("beatrix", 0.15)])
def test_where_there_is_no_poison_few_are_flagged(name, most):
    """AC cuts any class at a third or so if chance makes it uneven, Spectral 15 % of every class by its rule."""
    shares = []
    for seed in range(5):
        x, labels, _ = planted(0, 0, seed=seed)
        shares.append(float(detectors(x, labels, seed)[name].flagged.double().mean()))
    assert sum(shares) / len(shares) <= most


def test_half_of_a_class_cannot_be_the_smaller_cluster():
    x, labels, _ = planted(12.0, EACH // 2)
    assert not activation_clustering(x, labels).flagged[labels == 0].any()
    assert scan(x, labels, *planted(0, 0, seed=9)[:2]).flagged[labels == 0].any(), "but its class is in two groups"


def test_spectral_is_the_projection_on_the_first_singular_vector():
    x, labels, _ = planted(12.0, 12)
    own = x[labels == 0]
    centred = (own - own.mean(0)).numpy()
    first = torch.linalg.eigh(torch.tensor(centred.T @ centred)).eigenvectors[:, -1]
    expected = (torch.tensor(centred) @ first) ** 2
    torch.testing.assert_close(spectral_signatures(x, labels).scores[labels == 0], expected)


# --- SCAn


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


def test_the_anomaly_index_is_in_units_of_sd_and_one_sided():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0]).double()
    torch.testing.assert_close(anomaly_index(values), torch.tensor([0, 0, 0, 1, 97]).double() / 1.4826)
    assert anomaly_index(torch.ones(5).double()).tolist() == [0] * 5


# --- Beatrix


def test_gram_powers_by_the_slow_formula():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    for power in (1, 2, 3):
        found = gram_powers(x, power)
        for i in range(3):
            f = x[i]
            signed = torch.sign(f) * f.abs() ** power
            product = torch.outer(signed, signed)
            expected = (product.sign() * product.abs() ** (1 / power))[tuple(torch.triu_indices(4, 4))]
            torch.testing.assert_close(found[i], expected)


def test_beatrix_keeps_its_false_alarms():
    clean, clean_labels, _ = planted(0, 0, seed=50)
    x, labels, _ = planted(0, 0, seed=51)
    assert 0.0 <= float(beatrix(x, labels, clean, clean_labels).flagged.double().mean()) < 0.15


# --- STRIP


def images(n, seed=0):
    return torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def by_corner(x):
    """Sure of class 0 where the corner is bright even under an overlay, else undecided by the image's mean."""
    bright = x[:, :, -2:, -2:].mean((1, 2, 3)) > 0.5
    p = torch.full((len(x), 2), 0.5)
    p[bright] = torch.tensor([0.999, 0.001])
    return p


def test_a_trigger_that_decides_alone_has_low_entropy():
    clean, suspects = images(30) // 2, images(40, 1) // 2
    suspects[:10, :, -2:, -2:] = 255
    found = strip(suspects, clean, by_corner, seed=3)
    assert found.scores[:10].min() > found.scores[10:].max()
    assert found.flagged[:10].all()
    assert not found.flagged[10:].any()


def test_strip_keeps_its_false_alarms_where_nothing_is_poisoned():
    weights = torch.randn(192, 5, generator=torch.Generator().manual_seed(5))
    found = strip(images(300, 1), images(300, 2), lambda x: (x.flatten(1) @ weights).softmax(1))
    assert 0.01 < float(found.flagged.double().mean()) < 0.12


# --- bad input


def test_abl_isolates_what_is_learned_best():
    losses = torch.arange(400).double().flip(0)
    found = abl_isolation(losses, share=0.02)
    assert found.flagged.nonzero().flatten().tolist() == list(range(392, 400))
    assert torch.equal(found.scores.argsort(descending=True), losses.argsort())
    with pytest.raises(InputError, match=r"losses: expected finite values \(n,\), received \(2,\)"):
        abl_isolation(torch.tensor([0.1, float("nan")]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: spectral_signatures(x, y[:5]), r"features, labels: expected \(n, d\) and \(n,\)"),
        (lambda x, y: activation_clustering(x * float("nan"), y), "features: expected finite values"),
        (lambda x, y: spectral_signatures(x, torch.arange(len(x))), "labels: expected at least 2 images of a class"),
        (lambda x, y: scan(x, y, x[:60], y[:60]), "clean_labels: expected at least two classes, received one"),
        (
            lambda x, y: beatrix(x, y, x[:60], y[:60]),
            r"clean_labels: expected images of every class",
        ),
        (lambda x, y: strip(images(4), images(1), by_corner), "clean: expected at least 2 images"),
    ],
)
def test_what_they_refuse(call, message):
    x, labels, _ = planted(0, 0)
    with pytest.raises(InputError, match=message):
        call(x, labels)


def test_a_class_without_spread_is_no_error():
    labels = torch.tensor([0] * 10 + [1] * 10)
    x = torch.zeros(20, 3)
    for found in (activation_clustering(x, labels), spectral_signatures(x, labels)):
        assert not found.flagged.any()
