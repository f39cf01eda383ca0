"""Maps for looking at: PCA with a known answer, UMAP that comes out the same twice."""

import numpy as np
import pytest
import torch
from intertwine.representations import InputError, pca, umap

from tests.factories import case, randn


@pytest.fixture(autouse=True)
def threads():
    """The thread count of before, for the tests that come after: with too many, small convolutions crawl."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_pca_known_answer():
    """Points along (3, 4)/5 with spread 10 and along (−4, 3)/5 with spread 1, around (7, −2)."""
    t, s = [-20.0, -10.0, 10.0, 20.0], [1.0, -1.0, -1.0, 1.0]
    x = torch.tensor([[7 + 0.6 * a - 0.8 * b, -2 + 0.8 * a + 0.6 * b] for a, b in zip(t, s, strict=True)])
    scores = pca(x)
    # The largest loading is positive: +.8 of the first axis; of the second −.8 is largest, so its sign is turned.
    torch.testing.assert_close(scores[:, 0], torch.tensor(t).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores[:, 1], -torch.tensor(s).double(), atol=1e-4, rtol=0)


def test_pca_scores_are_ordered_uncorrelated_and_centred():
    x = randn(0, 60, 7) * torch.tensor([1.0, 5, 2, 0.5, 3, 1, 4]) + 9
    scores = pca(x, 7)
    covariance = scores.T @ scores / 60
    variances = covariance.diagonal()
    assert torch.equal(variances, variances.sort(descending=True).values)
    torch.testing.assert_close(covariance, torch.diag(variances), atol=1e-9, rtol=0)
    torch.testing.assert_close(scores.mean(0), torch.zeros(7).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.cdist(scores, scores), torch.cdist(x, x), atol=1e-6, rtol=0)


def test_the_sign_does_not_depend_on_the_order_of_the_rows():
    x = randn(0, 40, 5) * torch.tensor([5.0, 4, 3, 2, 1])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pca(x, 3)[order], pca(x[order], 3))


def test_pca_names_what_is_wrong():
    for shape, dim in (((5, 3), 4), ((3, 5), 4), ((5, 3), 0), ((5,), 1)):
        with case(shape, dim), pytest.raises(InputError, match=f"dim: expected 1 to min.*received {dim}"):
            pca(torch.zeros(shape), dim)


def test_defect_umap_without_seed(threads):
    x = torch.cat([randn(0, 20, 5), randn(1, 20, 5) + 3])
    np.random.seed(1)  # noqa: NPY002  (the stream that an unseeded UMAP would read)
    first = umap(x, neighbours=8, seed=3)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(first, umap(x, neighbours=8, seed=3))
    assert not torch.equal(first, umap(x, neighbours=8, seed=4))
    assert first.shape == (40, 2)
    assert first.dtype == torch.float64
    assert torch.isfinite(first).all()
    assert torch.get_num_threads() == threads


def test_umap_leaves_torchs_thread_count_alone(monkeypatch, threads):
    """numba's OpenMP layer sets the thread count of the whole process at its first parallel call. Results are bit-equal
    at one thread count only, so what is trained or measured after a map must run at the count of before."""
    from umap import UMAP

    def fit_transform(self, x):
        torch.set_num_threads(threads + 1)  # as numba does, but at every call
        return np.zeros((len(x), 2))

    monkeypatch.setattr(UMAP, "fit_transform", fit_transform)
    umap(randn(0, 20, 3))
    assert torch.get_num_threads() == threads


def test_umap_sees_the_cosine_only():
    x = torch.cat([randn(0, 20, 5), randn(1, 20, 5) + 3])
    torch.testing.assert_close(umap(x, neighbours=8), umap(x * 4, neighbours=8))


@pytest.mark.parametrize("n", [4, 5])
def test_umap_takes_as_few_points_as_it_says(n):
    assert umap(randn(0, n, 3)).shape == (n, 2)


def test_umap_names_what_is_wrong():
    for shape in ((3, 5), (10,)):
        with case(shape), pytest.raises(InputError, match=r"x: expected \(n, d\) with n ≥ 4, received"):
            umap(torch.zeros(shape))
