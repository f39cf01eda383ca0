"""Similarity measures and descriptors against scikit-learn, cca-zoo and SciPy, where they compute the same.

Where they do not, the test says what is theirs.
"""

import numpy as np
import pytest
import torch
from intertwine.representations.geometry.fisher import fisher_ratio, scatter
from intertwine.representations.geometry.rank import eigenspectrum
from intertwine.representations.geometry.subspaces import principal_angles
from intertwine.representations.graph import neighbour_graph
from intertwine.representations.similarity.cca import canonical_correlations, cca, svcca
from intertwine.representations.similarity.neighbours import mutual_knn, mutual_knn_of_graphs
from intertwine.representations.similarity.procrustes import procrustes_distance
from intertwine.representations.similarity.rsa import rsa

from tests.factories import randn

pytestmark = pytest.mark.parity


def related(seed: int, n: int, d: int, e: int) -> tuple[torch.Tensor, torch.Tensor]:
    z = randn(seed, n, 2)
    return z @ randn(seed + 1, 2, d) + randn(seed + 2, n, d), z @ randn(seed + 3, 2, e) + randn(seed + 4, n, e)


@pytest.mark.parametrize(("d", "e"), [(3, 3), (4, 2), (2, 6)])
def test_canonical_correlations_of_scikit_learn(d, e):
    """Theirs is iterative, and returns scores whose correlations are the canonical ones."""
    decomposition = pytest.importorskip("sklearn.cross_decomposition")
    x, y = related(d, 80, d, e)
    count = min(d, e)
    model = decomposition.CCA(count, max_iter=20_000, tol=1e-14)
    a, b = model.fit_transform(x.numpy(), y.numpy())
    theirs = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(count)]
    np.testing.assert_allclose(canonical_correlations(x, y).numpy(), theirs, atol=1e-6)


@pytest.mark.parametrize(("d", "e"), [(3, 3), (4, 2), (2, 6)])
def test_canonical_correlations_of_cca_zoo(d, e):
    linear = pytest.importorskip("cca_zoo.linear")
    x, y = related(20 + d, 80, d, e)
    count = min(d, e)
    a, b = linear.CCA(count).fit([x.numpy(), y.numpy()]).transform([x.numpy(), y.numpy()])
    theirs = [abs(np.corrcoef(a[:, i], b[:, i])[0, 1]) for i in range(count)]
    np.testing.assert_allclose(canonical_correlations(x, y).numpy(), theirs, atol=1e-6)
    assert cca(x, y) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_canonical_correlations_are_cosines_of_subspace_angles():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = related(5, 60, 5, 4)
    angles = linalg.subspace_angles((x - x.mean(0)).numpy(), (y - y.mean(0)).numpy())
    np.testing.assert_allclose(canonical_correlations(x, y).numpy(), np.cos(angles)[::-1], atol=1e-12)


def test_svcca_by_parts():
    """scikit-learn's PCA at 99 % of the variance, then CCA of SciPy's angles."""
    decomposition, linalg = pytest.importorskip("sklearn.decomposition"), pytest.importorskip("scipy.linalg")
    scale = torch.logspace(0, -2, 8, dtype=torch.float64)
    x, y = related(6, 90, 8, 8)
    x, y = x * scale, y * scale
    parts = [decomposition.PCA(0.99, svd_solver="full").fit_transform(z.numpy()) for z in (x, y)]
    assert max(part.shape[1] for part in parts) < 8
    assert svcca(x, y) == pytest.approx(np.cos(linalg.subspace_angles(*parts)).mean(), abs=1e-9)


@pytest.mark.parametrize("d", [2, 5, 30])
def test_procrustes_disparity_is_the_squared_sine(d):
    """SciPy scales the second set as well: what is left is 1 − (Σσ)² = sin² of the angle."""
    spatial = pytest.importorskip("scipy.spatial")
    x, y = randn(d, 25, d), randn(d, 25, d) + 2 * randn(d + 1, 25, d)
    _, _, disparity = spatial.procrustes(x.numpy(), y.numpy())
    assert 0.01 < disparity < 0.99
    assert np.sin(procrustes_distance(x, y)) ** 2 == pytest.approx(disparity, abs=1e-9)


@pytest.mark.parametrize("dissimilarity", ["euclidean", "correlation"])
def test_rsa_by_scipy(dissimilarity):
    distance, stats = pytest.importorskip("scipy.spatial.distance"), pytest.importorskip("scipy.stats")
    x, y = related(7, 40, 6, 5)
    a, b = (distance.pdist(z.numpy(), dissimilarity) for z in (x, y))
    assert rsa(x, y, dissimilarity=dissimilarity) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)
    linear = rsa(x, y, dissimilarity=dissimilarity, correlation="pearson")
    assert linear == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-9)


def test_rsa_with_ties_by_scipy():
    """Points on a grid: distances are square roots of whole numbers, most of them many times."""
    distance, stats = pytest.importorskip("scipy.spatial.distance"), pytest.importorskip("scipy.stats")
    x, y = (torch.round(2 * randn(i, 40, 3)) for i in (1, 2))
    x[5], y[5] = x[4], y[4]
    a, b = (distance.pdist(z.numpy()) for z in (x, y))
    assert len(np.unique(a)) < 100
    assert rsa(x, y) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mutual_neighbours_by_scikit_learn(metric):
    neighbours = pytest.importorskip("sklearn.neighbors")
    x, y = related(8, 70, 6, 5)
    found = [
        neighbours.NearestNeighbors(n_neighbors=10, metric=metric).fit(z.numpy()).kneighbors(return_distance=False)
        for z in (x, y)
    ]
    theirs = [len(set(p) & set(q)) / 10 for p, q in zip(*found, strict=True)]
    graphs = (neighbour_graph(z, 10, metric=metric) for z in (x, y))
    assert mutual_knn_of_graphs(*graphs, k=10).tolist() == pytest.approx(theirs)
    assert mutual_knn(x, y, metric=metric) == pytest.approx(np.mean(theirs))


@pytest.mark.parametrize(("p", "q", "d"), [(2, 2, 9), (3, 6, 9), (5, 1, 40)])
def test_principal_angles_of_scipy(p, q, d):
    linalg = pytest.importorskip("scipy.linalg")
    a, b = randn(p, p, d), randn(50 + q, q, d)
    theirs = linalg.subspace_angles(a.T.numpy(), b.T.numpy())[::-1]
    np.testing.assert_allclose(principal_angles(a, b).numpy(), theirs, atol=1e-12)


def test_tiny_principal_angles_at_sixty_digits():
    """A cosine could not tell them from 0. (SciPy 1.17 gives 0 for the smallest here, where dimensions differ.)"""
    mp = pytest.importorskip("mpmath")
    a, b = randn(3, 3, 9), randn(56, 6, 9)
    b[:2] = a[:2] + 1e-9 * b[:2]
    with mp.workdps(60):
        p, q = mp.matrix(a.tolist()), mp.matrix(b.tolist())
        outside = p - p * q.T * (q * q.T) ** -1 * q
        root = mp.cholesky(p * p.T) ** -1
        sines = mp.eigsy(root * outside * outside.T * root.T, eigvals_only=True)
        exact = [float(mp.asin(mp.sqrt(v))) for v in sines]
    assert exact[0] < 1e-10
    np.testing.assert_allclose(principal_angles(a, b).numpy(), exact, atol=1e-14, rtol=1e-4)


def test_eigenspectrum_is_that_of_pca():
    decomposition = pytest.importorskip("sklearn.decomposition")
    for n, d in ((60, 7), (7, 60)):
        x = randn(n, n, d) + 5
        theirs = decomposition.PCA(svd_solver="full").fit(x.numpy()).explained_variance_
        np.testing.assert_allclose(eigenspectrum(x).numpy() * n / (n - 1), theirs, atol=1e-9)


def test_fisher_ratio_of_one_feature_is_anovas_f():
    """F = (S_B/(C − 1))/(S_W/(n − C))."""
    selection = pytest.importorskip("sklearn.feature_selection")
    labels = torch.arange(50) % 4
    x = randn(0, 50, 3) + randn(1, 4, 3)[labels]
    values, _ = selection.f_classif(x.numpy(), labels.numpy())
    for i, value in enumerate(values):
        assert fisher_ratio(x[:, i : i + 1], labels) * (50 - 4) / (4 - 1) == pytest.approx(value)


def test_within_scatter_of_linear_discriminant_analysis():
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    labels = torch.arange(60) % 3
    x = randn(2, 60, 4) + randn(3, 3, 4)[labels]
    model = discriminant.LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(x.numpy(), labels.numpy())
    means, within, _ = scatter(x, labels)
    np.testing.assert_allclose((within.T @ within / 60).numpy(), model.covariance_, atol=1e-12)
    np.testing.assert_allclose((means + x.mean(0)).numpy(), model.means_, atol=1e-12)
