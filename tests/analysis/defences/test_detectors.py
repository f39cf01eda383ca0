"""Detectors on planted features: each works where it should by construction, is blind where its rule is, and finds
nothing where there is nothing."""

import pytest
import torch
from intertwine.analysis.defences import abl_isolation, spectral_signatures
from intertwine.analysis.defences.common.robust import above_median
from intertwine.analysis.defences.methods import activation_clustering, beatrix, scan, strip
from intertwine.analysis.defences.methods.beatrix import gram_powers
from intertwine.analysis.defences.methods.scan import global_model, split_in_two
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
        "beatrix": beatrix(as_maps(x), labels, as_maps(clean), clean_labels),
    }


def as_maps(x):
    """Maps of two places: the features, and a tenth of them, so that no order is a function of another."""
    return torch.stack([x, 0.1 * x.roll(1, dims=1)], dim=2).unsqueeze(3)


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


def test_how_far_above_the_median_is_in_units_of_sd():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0])
    torch.testing.assert_close(above_median(values), torch.tensor([0, 0, 0, 1, 97]).double() / 1.4826)
    assert above_median(torch.ones(5)).tolist() == [0] * 5
    assert above_median(torch.tensor([1.0, 1.0, 1.0, 2.0])).tolist() == [0, 0, 0, torch.inf]


@pytest.mark.parametrize("n", [9, 10])
def test_the_median_of_an_even_number_lies_in_the_middle(n):
    import numpy as np

    values = torch.randn(n, generator=torch.Generator().manual_seed(n)).double()
    x = values.numpy()
    expected = np.maximum(0, x - np.median(x)) / (1.4826 * np.median(np.abs(x - np.median(x))))
    torch.testing.assert_close(above_median(values), torch.from_numpy(expected))


# --- Beatrix


def test_gram_powers_by_the_slow_formula():
    """Σ over places of (f_i f_j)^p, its p-th root with the sign kept, entry by entry."""
    x = torch.randn(3, 4, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    for power in (1, 2, 3):
        found = gram_powers(x, power)
        for n in range(3):
            entries = iter(found[n].tolist())
            for i in range(4):
                for j in range(i, 4):
                    total = sum(float(x[n, i, a, b] * x[n, j, a, b]) ** power for a in range(2) for b in range(3))
                    assert next(entries) == pytest.approx(abs(total) ** (1 / power) * (1 if total > 0 else -1))


def test_orders_differ_where_maps_have_places():
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(gram_powers(x, 1), gram_powers(x, 4))
    one_place = x[..., :1, :1]
    torch.testing.assert_close(gram_powers(one_place, 1), gram_powers(one_place, 4))


def test_beatrix_keeps_its_false_alarms():
    shares = []
    for seed in range(4):
        clean, clean_labels, _ = planted(0, 0, seed=50 + seed)
        x, labels, _ = planted(0, 0, seed=150 + seed)
        shares.append(beatrix(as_maps(x), labels, as_maps(clean), clean_labels).flagged.double().mean())
    assert 0.01 < float(torch.stack(shares).mean()) < 0.12


def test_an_images_score_does_not_hang_on_the_others():
    clean, clean_labels, _ = planted(0, 0, seed=50)
    x, labels, _ = planted(12.0, 12)
    both = beatrix(as_maps(x), labels, as_maps(clean), clean_labels)
    alone = beatrix(as_maps(x[:1]), labels[:1], as_maps(clean), clean_labels)
    torch.testing.assert_close(both.scores[:1], alone.scores)


def test_a_group_without_clean_images_is_held_against_all_of_them():
    """k-means may put all poisons, and nothing else, into one cluster."""
    clean, clean_labels, _ = planted(0, 0, seed=50)
    x, labels, mask = planted(12.0, 12)
    labels = torch.where(mask, CLASSES, labels)
    found = beatrix(as_maps(x), labels, as_maps(clean), clean_labels)
    assert found.flagged[mask].all()


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
    clean, defenders = images(30) // 2, images(40, 1) // 2
    defenders[:10, :, -2:, -2:] = 255
    found = strip(defenders, clean[:15], clean[15:], by_corner, seed=3)
    assert found.scores[:10].min() > found.scores[10:].max()
    assert found.flagged[:10].all()
    assert not found.flagged[10:].any()


def test_strip_keeps_its_false_alarms_where_nothing_is_poisoned():
    weights = torch.randn(192, 5, generator=torch.Generator().manual_seed(5))
    found = strip(images(300, 1), images(150, 2), images(300, 3), lambda x: (x.flatten(1) @ weights).softmax(1))
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
            lambda x, y: beatrix(as_maps(x), y, as_maps(x)[:7], y[:7]),
            r"clean: expected at least 8 maps \(n, c, h, w\)",
        ),
        (lambda x, y: beatrix(x, y, x, y), r"maps: expected at least 1 maps \(n, c, h, w\)"),
        (lambda x, y: strip(images(4), images(1), images(4), by_corner), "clean: expected at least 2 images"),
        (lambda x, y: strip(images(4), images(4), images(1), by_corner), "held_out: expected at least 2 images"),
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
