"""How many directions a representation uses."""

import torch
from torch import Tensor

from ..checks import check_features
from ..errors import InputError

__all__ = ["effective_rank", "eigenspectrum", "rankme", "spectrum_decay"]


def eigenspectrum(x: Tensor, *, centred: bool = True) -> Tensor:
    """Squared singular values of the features over n, largest first: eigenvalues of the covariance matrix.

    Args:
        x: ``(n, d)``. centred: about the mean of the rows, or about 0.

    Returns:
        float64 ``(min(n, d),)``; exactly 0 where only rounding remains. Cost O(nd·min(n, d)).

    >>> eigenspectrum(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    x = check_features(x, rows=1)
    size = x.abs().max()
    if centred:
        x = x - x.mean(0)
    scale = x.abs().max()
    if scale <= 1e-14 * size:
        return torch.zeros(min(x.shape), dtype=x.dtype)  # constant, up to the rounding of its mean
    # The smaller of the two Gram matrices, at unit scale: the squares would over- or underflow otherwise.
    x = x / scale
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    values = torch.linalg.eigvalsh(gram).flip(0)
    values = torch.where(values > max(x.shape) * torch.finfo(x.dtype).eps * values[0], values, 0)
    return values * (scale**2 / len(x))


def effective_rank(x: Tensor) -> float:
    """exp of the entropy of the normalised singular values of the centred features.

    exp(−Σ p log p), p_i = σ_i/Σσ: Roy and Vetterli, EUSIPCO 2007. r equal directions give r.

    Args:
        x: ``(n, d)``, n ≥ 2.

    Returns:
        A value in [1, min(n − 1, d)]; NaN for constant features. It grows with n until n is well above d: compare at
        equal n. Cost O(nd·min(n, d)).

    >>> round(effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    return _entropy_rank(eigenspectrum(check_features(x)).sqrt())


def rankme(x: Tensor) -> float:
    """Effective rank of the features about 0: RankMe of Garrido et al., ICML 2023.

    Theirs adds 1e-7 to each p against log 0. Here 0·log 0 is 0, and the value does not depend on the scale of x. The
    mean is not subtracted: where it is large relative to the spread, the value is near 1.

    Args:
        x: ``(n, d)``. Returns a value in [1, min(n, d)]; NaN if all features are 0.

    >>> round(rankme(torch.eye(5)), 6)
    5.0
    """
    return _entropy_rank(eigenspectrum(check_features(x, rows=1), centred=False).sqrt())


def spectrum_decay(x: Tensor) -> float:
    """Exponent α of a power law λ_i ∝ i^−α through the eigenvalues of the covariance, by least squares of the logs.

    0 for a flat spectrum, large for few directions (Agrawal et al., "α-ReQ", NeurIPS 2022). The fit uses eigenvalues 1
    to min(n − 1, d)/2, because the tail depends on the sample size.

    Args:
        x: ``(n, d)``, with at least 3 eigenvalues in that range. Returns NaN where one of them is 0.

    Raises:
        InputError: too few rows or columns.
    """
    x = check_features(x)
    count = min(len(x) - 1, x.shape[1]) // 2
    if count < 3:
        raise InputError(f"x: expected at least 7 rows and 6 columns, received {tuple(x.shape)}")
    values = eigenspectrum(x)[:count]
    if not values[-1] > 0:
        return float("nan")
    places = torch.arange(1, count + 1, dtype=x.dtype).log()
    places = places - places.mean()
    return -float((places * values.log()).sum() / places.square().sum())


def _entropy_rank(singular: Tensor) -> float:
    total = singular.sum()
    if not total > 0:
        return float("nan")
    return float(torch.special.entr(singular / total).sum().exp())
