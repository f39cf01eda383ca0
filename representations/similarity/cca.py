"""Canonical correlations between two representations of the same images."""

import torch
from torch import Tensor

from ..checks import check_same_images
from ..errors import InputError
from ..seeds import generator
from ._spread import spread

__all__ = ["canonical_correlations", "cca", "svcca"]


def canonical_correlations(x: Tensor, y: Tensor) -> Tensor:
    """Correlations of the pairs of directions that correlate most, each uncorrelated with the pairs before.

    They are the cosines of the principal angles of the column spaces of the centred features (Hotelling, Biometrika 28,
    1936).

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 3.

    Returns:
        float64 ``(min(rank x, rank y),)`` in [0, 1], largest first; empty for a constant representation. Directions of
        float64 rounding, also that of a large mean, are left out: collinear features count once. (Features computed in
        float32 are collinear only to its precision; :func:`svcca` leaves such directions out.) Cost O(n(d² + e²)).

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [5.0]])
    >>> canonical_correlations(x, 3 - x).round(decimals=6).tolist()
    [1.0]
    """
    x, y = check_same_images(x, y, rows=3)
    return torch.linalg.svdvals(_components(x)[0].T @ _components(y)[0]).clamp(max=1)  # above 1 is rounding


def cca(x: Tensor, y: Tensor, *, held_out: bool = False, variance: float = 0.99, seed: int = 0) -> float:
    """Mean canonical correlation, a similarity in [0, 1]: 1 where each representation is a linear map of the other.

    In-sample correlations grow with (d + e)/n. For d ≥ n − 1 all are 1, for any data: use ``held_out`` unless n is many
    times d + e. It fits the directions on a random half of the images, within the principal components that hold
    ``variance`` of the total (not used in-sample). It averages the correlations of the other half's projections, which
    may be negative: independent data give 0 on average.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from one image, n ≥ 3, with ``held_out`` n ≥ 8.

    Returns:
        A value in [0, 1], with ``held_out`` in [−1, 1]; NaN if either is constant, with ``held_out`` in either half.
        Invariant to invertible linear maps and shifts of either. With ``held_out`` invariant to rotation, scale and
        shift only, since components are chosen by variance. Cost O(n(d² + e²)).

    >>> x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> round(cca(x, x @ torch.triu(torch.ones(4, 4))), 6)
    1.0
    """
    if not held_out:
        correlations = canonical_correlations(x, y)
        return float(correlations.mean()) if len(correlations) else float("nan")
    x, y = check_same_images(x, y, rows=8)
    order = torch.randperm(len(x), generator=generator(seed, "cca", len(x)))
    fit, rest = order.tensor_split(2)
    bases = [_whitening(z[fit], variance) for z in (x, y)]
    if any(basis.shape[1] == 0 for basis in bases) or not all(spread(z[rest])[1] for z in (x, y)):
        return float("nan")
    (a, b), (mean_a, mean_b) = bases, (x[fit].mean(0), y[fit].mean(0))
    left, _, right = torch.linalg.svd(((x[fit] - mean_a) @ a).T @ ((y[fit] - mean_b) @ b), full_matrices=False)
    u, v = (x[rest] - mean_a) @ a @ left, (y[rest] - mean_b) @ b @ right.T
    u, v = u - u.mean(0), v - v.mean(0)
    norms = u.norm(dim=0) * v.norm(dim=0)
    return float(((u * v).sum(0) / norms).mean()) if norms.min() > 0 else float("nan")


def svcca(x: Tensor, y: Tensor, *, variance: float = 0.99) -> float:
    """SVCCA (Raghu et al., NeurIPS 2017): mean canonical correlation of the leading principal components.

    The components of each are those that hold ``variance`` of its total. A similarity in [0, 1]; NaN if either is
    constant. It still grows with the number of components over n. Invariant to rotation, scale and shift of either.
    Cost O(n(d² + e²)).

    >>> x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> round(svcca(x, 3 - 2 * x.flip(1)), 6)
    1.0
    """
    x, y = check_same_images(x, y, rows=3)
    parts = [_whitening(z, variance) for z in (x, y)]
    if any(part.shape[1] == 0 for part in parts):
        return float("nan")
    a, b = ((z - z.mean(0)) @ part for z, part in zip((x, y), parts, strict=True))
    return float(torch.linalg.svdvals(a.T @ b).clamp(max=1).mean())


def _components(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values of the centred features, ``(n, r)``, ``(r,)``, ``(r, d)``, r the numerical rank."""
    if not spread(x)[1]:
        return x[:, :0], x.new_zeros(0), x.new_zeros(0, x.shape[1])
    left, singular, right = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    # Numbers near a large mean have the rounding of that mean, which appears as extra directions.
    largest = torch.maximum(singular[0], x.abs().max() * len(x) ** 0.5)
    real = singular > max(x.shape) * torch.finfo(x.dtype).eps * largest
    return left[:, real], singular[real], right[real]


def _whitening(x: Tensor, variance: float) -> Tensor:
    """Map ``(d, r)`` from centred features to orthonormal scores of the leading components."""
    if not 0 < variance <= 1:
        raise InputError(f"variance: expected a share in (0, 1], received {variance}")
    _, singular, directions = _components(x)
    shares = (singular / singular[:1]).square()  # squares of very small or large numbers would not fit
    held = shares.cumsum(0) / shares.sum()
    count = int((held < variance - 1e-12).sum()) + 1  # the fewest that hold it
    return directions[:count].T / singular[:count]
