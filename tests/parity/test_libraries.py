"""Ours against scikit-learn, SciPy and torchvision, where they compute the same thing."""

from itertools import product

import numpy as np
import pytest
import torch
from intertwine.probes import mean_interval, ridge_head, trigger_separability
from intertwine.probes.linear import folds_of
from intertwine.representations import EncoderSpec, build_encoder, knn_predict, pca, ridge_predict
from intertwine.representations.geometry import confusion_ratio, neighbour_mixing, silhouette
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score, silhouette_samples, silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import nn
from torchvision.models import resnet18

from tests.factories import case, randn


def clusters(seed: int, n: int, classes: int, d: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % classes
    return randn(77, classes, d)[labels] + randn(seed, n, d), labels


def test_silhouette_of_sets_of_equal_size():
    for apart, n in product((0.0, 1.0, 20.0), (2, 17, 60)):
        with case(apart, n):
            a, b = randn(1, n, 5), randn(2, n, 5) + apart
            expected = silhouette_score(torch.cat([a, b]).numpy(), [0] * n + [1] * n)
            assert silhouette(a, b) == pytest.approx(expected, abs=1e-7)


def test_silhouette_of_unequal_sets_is_the_mean_of_the_sets_means():
    a, b = randn(1, 12, 5), randn(2, 70, 5) + 1
    samples = silhouette_samples(torch.cat([a, b]).numpy(), [0] * 12 + [1] * 70)
    assert silhouette(a, b) == pytest.approx((samples[:12].mean() + samples[12:].mean()) / 2, abs=1e-7)
    assert silhouette(a, b) != pytest.approx(samples.mean(), abs=1e-3)


@pytest.mark.parametrize("k", [1, 10, 25])
def test_neighbour_mixing_by_exact_neighbours(k):
    n, a, b = 40, randn(1, 40, 5), randn(2, 40, 5) + 0.4
    x, side = torch.cat([a, b]).numpy(), np.repeat([0, 1], n)
    index = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)  # of the fit: self is left out
    share = (side[index] != side[:, None]).mean()
    assert neighbour_mixing(a, b, k=k).value == pytest.approx(share * (2 * n - 1) / n)


@pytest.mark.parametrize("k", [1, 9, 40])
def test_weighted_neighbours(k):
    bank, labels = clusters(0, 120, 4)
    queries, _ = clusters(1, 90, 4)
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.1))
    expected = model.fit(bank.numpy(), labels.numpy()).predict(queries.numpy())
    assert knn_predict(queries, bank, labels, k=k).tolist() == expected.tolist()


def test_confusion_ratio_by_nearest_neighbour():
    bank, labels = clusters(0, 120, 4)
    queries, _ = clusters(1, 90, 4)
    model = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(bank.numpy(), labels.numpy())
    expected = (model.predict(queries.numpy()) == 2).astype(float)
    assert confusion_ratio(queries, bank, labels, 2).tolist() == expected.tolist()


def test_ridge_evaluator():
    bank, labels = clusters(0, 120, 4)
    queries, _ = clusters(1, 90, 4)
    unit = Normalizer().fit_transform(bank.numpy())
    alpha = 1e-3 * len(unit) * unit.var(0).mean()
    model = make_pipeline(Normalizer(), Ridge(alpha=alpha)).fit(bank.numpy(), np.eye(4)[labels.numpy()])
    assert ridge_predict(queries, bank, labels).tolist() == model.predict(queries.numpy()).argmax(1).tolist()


def test_ridge_head():
    """StandardScaler divides by the sd over n, ours by that over n − 1: the penalty takes up the difference."""
    bank, labels = clusters(0, 120, 4)
    queries, _ = clusters(1, 90, 4)
    model = make_pipeline(Normalizer(), StandardScaler(), Ridge(alpha=1e-2 * 120 * 120 / 119))
    model.fit(bank.numpy(), np.eye(4)[labels.numpy()])
    np.testing.assert_allclose(ridge_head(bank, labels, 4)(queries).numpy(), model.predict(queries.numpy()), atol=1e-9)


def test_separability_is_the_mean_auc_of_the_folds():
    clean = randn(0, 33, 5)
    triggered = clean + 0.5 * randn(1, 33, 5) + 0.4 * randn(2, 1, 5)
    total = 0.0
    for held_out in folds_of(33, 5, 0):
        fit = np.setdiff1d(np.arange(33), held_out.numpy())
        x = np.concatenate([clean[fit], triggered[fit]])
        n = len(x)
        model = make_pipeline(Normalizer(), StandardScaler(), Ridge(alpha=0.1 * n * n / (n - 1)))
        model.fit(x, np.repeat([0.0, 1.0], len(fit)))
        scores = model.predict(np.concatenate([clean[held_out], triggered[held_out]]))
        truth = np.repeat([0, 1], len(held_out))
        auc = roc_auc_score(truth, scores)
        total += auc * len(held_out)
    assert trigger_separability(clean, triggered, folds=5, repeats=1).auc == pytest.approx(total / 33)


def test_pca():
    x = randn(0, 50, 6) * torch.tensor([1.0, 5, 2, 0.5, 3, 7]) + 4
    expected = PCA(3, svd_solver="full").fit_transform(x.numpy())
    np.testing.assert_allclose(np.abs(pca(x, 3).numpy()), np.abs(expected), atol=1e-9)


@pytest.mark.parametrize("count", [0, 3, 30, 60])
def test_the_interval_of_a_rate_is_near_wilsons(count):
    """Plus four is Wilson's interval about the same centre, a little wider (Agresti and Coull, 1998)."""
    low, high = mean_interval(torch.tensor([1.0] * count + [0.0] * (60 - count)))
    wilson = binomtest(count, 60).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.015)
    assert low <= wilson.low + 1e-3
    assert high >= wilson.high - 1e-3


def test_resnet18_is_torchvisions_with_the_small_stem():
    """Its parameter names too: a state_dict goes over as it is."""
    encoder = build_encoder(EncoderSpec("resnet18", 64, 16)).eval()
    theirs = resnet18()
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool, theirs.fc = nn.Identity(), nn.Identity()
    theirs.load_state_dict(encoder.backbone.state_dict())
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), theirs.eval()((x - 0.5) / 0.25), atol=1e-5, rtol=1e-4)
