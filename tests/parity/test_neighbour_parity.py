"""The neighbour graph and the measures on it against scikit-learn and scikit-dimension."""

import numpy as np
import pytest
import torch
from intertwine.representations.geometry.dimension import inverse_lid, two_nn
from intertwine.representations.graph import neighbour_graph, pairwise_distances

from tests.factories import randn

neighbors = pytest.importorskip("sklearn.neighbors")
pairwise = pytest.importorskip("sklearn.metrics.pairwise")

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(("n", "d", "k"), [(50, 3, 49), (400, 16, 20), (6000, 40, 15)])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_graph(n, d, k, shift):
    x = randn(n, n, d) + shift
    search = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit((x - x.mean(0)).numpy())
    distances, indices = search.kneighbors()  # of the fit: self is left out
    graph = neighbour_graph(x, k)
    assert (graph.indices.numpy() == indices).all()
    np.testing.assert_allclose(graph.distances.numpy(), distances, rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_graph_of_a_bank(metric):
    queries, bank = randn(0, 70, 12), randn(1, 5000, 12)
    search = neighbors.NearestNeighbors(n_neighbors=9, algorithm="brute", metric=metric).fit(bank.numpy())
    distances, indices = search.kneighbors(queries.numpy())
    graph = neighbour_graph(queries, 9, bank=bank, metric=metric)
    assert (graph.indices.numpy() == indices).all()
    ours = graph.distances.numpy()
    np.testing.assert_allclose(ours if metric == "euclidean" else ours**2 / 2, distances, rtol=1e-9)


def test_distances():
    x, y = randn(0, 60, 30), randn(1, 80, 30)
    np.testing.assert_allclose(pairwise_distances(x, y).numpy(), pairwise.euclidean_distances(x, y), rtol=1e-9)


@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.filterwarnings("ignore:Dropping", "ignore:divide by zero")
def test_two_nn(d):
    """Maximum likelihood: their ``mle`` without discarding. Their default, Facco's line through the smaller nine tenths
    of the ratios, is another estimate of the same number, with an error of about d/√n as well."""
    skdim = pytest.importorskip("skdim")
    n = 1500
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    x = torch.cat([x, x[:4]])
    ours = two_nn(neighbour_graph(x, 2))
    assert (ours.used, ours.duplicates) == (n - 4, 8)
    theirs = skdim.id.TwoNN(discard_fraction=0, method="mle").fit(x.numpy()).dimension_
    assert ours.value == pytest.approx(theirs, rel=1e-9)
    assert ours.value == pytest.approx(skdim.id.TwoNN().fit(x.numpy()).dimension_, rel=4 / n**0.5)


@pytest.mark.parametrize("d", [2, 8])
def test_lid(d):
    """Point by point, one over each of our scores; over all points, one over their mean: their ``comb="mle"``. Their
    ``unbiased`` (k − 2 for k − 1) is for the dimension of one point and would bias this average."""
    skdim = pytest.importorskip("skdim")
    x = torch.rand(400, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    theirs = skdim.id.MLE(unbiased=False, neighborhood_based=True).fit(x.numpy(), n_neighbors=20)
    scores = inverse_lid(neighbour_graph(x, 20), k=20)
    np.testing.assert_allclose(1 / scores.numpy(), theirs.dimension_pw_, rtol=1e-9)
    assert 1 / float(scores.mean()) == pytest.approx(theirs.dimension_, rel=1e-9)
