"""LEACE (Belrose et al., *LEACE: Perfect linear concept erasure in closed form*, NeurIPS 2023)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..representations.errors import InputError
from .erasure import Eraser
from .linear import standardiser

__all__ = ["LeaceFitter", "Whitening", "fit_leace", "leace", "whiten"]

# Canonical correlations below this are rounding. They are correlations: no scale of x or z, and no rarity, moves them.
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Whitening:
    """Coordinates in which the features are white: x = centre + sd · basis · spread^½ · w with w ~ (0, 1).

    basis ``(d, r)``, orthonormal, and spread ``(r,)`` > 0: eigenvectors and eigenvalues of the correlations, without
    those of zero variance. sd ``(d,)``: 0 for constant features.
    """

    basis: Tensor
    spread: Tensor
    sd: Tensor
    centre: Tensor

    def white(self, directions: Tensor) -> Tensor:
        """Directions ``(d, k)`` among the features in white coordinates, ``(r, k)``."""
        return self.basis.T @ (directions * _inverse(self.sd).unsqueeze(1)) / self.spread.sqrt().unsqueeze(1)

    def colour(self, white: Tensor) -> Tensor:
        """White coordinates ``(r, k)`` as directions among the features ``(d, k)``."""
        return self.sd.unsqueeze(1) * (self.basis @ (self.spread.sqrt().unsqueeze(1) * white))

    def eraser(self, white: Tensor) -> Eraser:
        """The eraser of the span of the orthonormal columns of ``white (r, k)``."""
        right = (self.basis @ (white / self.spread.sqrt().unsqueeze(1))).T * _inverse(self.sd)
        return Eraser(self.colour(white), right, self.centre)

    def shrunk(self, shrinkage: float) -> "Whitening":
        """The spread, shrunk towards that of uncorrelated features, 1.

        scikit-learn's ``shrunk_covariance`` of the correlations, without forming their matrix.
        """
        return replace(self, spread=(1 - shrinkage) * self.spread + shrinkage)


def whiten(x: Tensor) -> Whitening:
    """From rows ``(n, d)``, float64, without forming their covariance."""
    mean, unit = standardiser(x)
    _, s, basis = torch.linalg.svd((x - mean) * unit, full_matrices=False)
    return _varying(basis.T, s.square() / (len(x) - 1), _inverse(unit), mean, len(x))


def _varying(basis: Tensor, spread: Tensor, sd: Tensor, centre: Tensor, rows: int) -> Whitening:
    real = spread > spread.max() * max(rows, len(sd)) * torch.finfo(spread.dtype).eps
    return Whitening(basis[:, real], spread[real], sd, centre)


def _inverse(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def leace(white: Whitening, cross: Tensor, concept: Tensor) -> Eraser:
    """The eraser from cov(x, z) ``(d, k)`` and cov(z) ``(k, k)``; see :func:`fit_leace`."""
    # The concept is whitened too. The singular values are then canonical correlations (smaller where the features are
    # shrunk), for any scale of z and any share of triggered rows. For a raw 0/1 concept of share p they would be about
    # p times the shift in sds, and a fixed threshold would leave rare triggers in.
    size = concept.diagonal().sqrt()
    unit = _inverse(size)
    values, vectors = torch.linalg.eigh(unit.unsqueeze(1) * concept * unit)
    real = values > values.max().clamp(min=0) * len(values) * torch.finfo(values.dtype).eps
    to_white = unit.unsqueeze(1) * vectors[:, real] / values[real].sqrt()
    u, s, _ = torch.linalg.svd(white.white(cross @ to_white), full_matrices=False)
    return white.eraser(u[:, s > TOLERANCE])


class LeaceFitter:
    """LEACE from data in batches: ``LeaceFitter(d, k).update(x, z).update(…).eraser()``.

    Stores means and covariances only, O((d + k)²) in float64. They are merged as in Chan, Golub and LeVeque (1979), so
    that a mean far from zero costs no precision. Cost: O(d²) a row, O(d³) for the eraser. For fewer rows than features
    in memory, :func:`fit_leace` is cheaper.
    """

    def __init__(self, features: int, concepts: int) -> None:
        if features < 1 or concepts < 1:
            raise InputError(f"features, concepts: expected at least 1 of each, received {features} and {concepts}")
        self.n = 0
        size = features + concepts
        self._features = features
        self._mean = torch.zeros(size, dtype=torch.float64)
        self._scatter = torch.zeros(size, size, dtype=torch.float64)

    def update(self, x: Tensor, z: Tensor) -> "LeaceFitter":
        """Add rows ``x (n, d)`` with concepts ``z (n, k)`` or ``(n,)``."""
        x, z = _checked(x, z)
        if x.shape[1] != self._features or x.shape[1] + z.shape[1] != len(self._mean):
            expected = (self._features, len(self._mean) - self._features)
            raise InputError(f"x, z: expected widths {expected}, received {(x.shape[1], z.shape[1])}")
        joint = torch.cat([x, z], 1)
        total, mean = self.n + len(x), joint.mean(0)
        gap, centred = mean - self._mean, joint - mean
        self._scatter += centred.T @ centred + torch.outer(gap, gap) * (self.n * len(x) / total)
        self._mean = self._mean + gap * (len(x) / total)  # a new tensor: erasers refer to the old one
        self.n = total
        return self

    def eraser(self, *, shrinkage: float = 0.0) -> Eraser:
        """The eraser of all rows so far; see :func:`fit_leace`."""
        _check_shrinkage(shrinkage)
        if self.n < 2:
            raise InputError(f"x: expected at least 2 rows, received {self.n}")
        d, covariance = self._features, self._scatter / (self.n - 1)
        sd = covariance.diagonal().sqrt()
        sd = torch.where(sd > 1e-12 * (self._mean.abs() + sd), sd, torch.zeros_like(sd))  # as in `standardiser`
        unit, varies = _inverse(sd[:d]), (sd[d:] > 0).double()
        spread, basis = torch.linalg.eigh(unit.unsqueeze(1) * covariance[:d, :d] * unit)
        white = _varying(basis, spread, sd[:d], self._mean[:d], self.n).shrunk(shrinkage)
        return leace(white, covariance[:d, d:] * varies, covariance[d:, d:] * varies * varies.unsqueeze(1))


def fit_leace(x: Tensor, z: Tensor, *, shrinkage: float = 0.0) -> Eraser:
    """Least-squares concept erasure: the affine map that leaves no linear trace of z in x and moves x least.

    r(x) = x − W⁺·Q·W·(x − x̄), with W the pseudo-inverse of cov(x)^½ and Q the orthogonal projection onto the columns
    of W·cov(x, z). On the fitted rows cov(r(x), z) = 0. No linear probe is then better than one that ignores x (by
    least squares; for classes as one-hot columns by any convex loss). Among all affine maps with this property r has
    the smallest E‖r(x) − x‖², for any inner product.

    Args:
        x: ``(n, d)``, n ≥ 2. z: the concept, ``(n, k)`` or ``(n,)``, bool or number; class labels as one-hot columns.
        shrinkage: in [0, 1], shrinks the correlations of the features in W towards 0. The theorem's first half is valid
            for any value. Where n is near d a small value prevents large moves of new rows. (n = 80, d = 75,
            independent features: mean ‖r(x) − x‖² of new rows is 34 at 0 and 3.6 at .1.) It leaves more of the
            concept's mean in them. An optimal linear probe finds the same in new rows for every value, as ``left`` is
            the same.

    Degenerate cases: a constant concept, or one without correlation with x, gives an eraser of rank 0, which changes no
    feature. Constant features stay. Linearly dependent columns of z count once.

    Cost: O(n·d·min(n, d)) + O(min(n, d)³). For n ≤ d the rows themselves are decomposed.

    >>> x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> z = x[:, 0] > 0.5
    >>> r = fit_leace(x, z)(x)
    >>> bool((r[z].mean(0) - r[~z].mean(0)).abs().max() < 1e-9)
    True
    """
    _check_shrinkage(shrinkage)
    x, z = _checked(x, z)
    n, d = x.shape
    if n < 2:
        raise InputError(f"x: expected at least 2 rows, received {n}")
    if n > d:
        return LeaceFitter(d, z.shape[1]).update(x, z).eraser(shrinkage=shrinkage)
    white = whiten(x).shrunk(shrinkage)
    z = (z - z.mean(0)) * (standardiser(z)[1] > 0)
    return leace(white, (x - white.centre).T @ z / (n - 1), z.T @ z / (n - 1))


def _check_shrinkage(shrinkage: float) -> None:
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage: expected a number from 0 to 1, received {shrinkage}")


def _checked(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim != 2 or len(x) == 0 or z.ndim not in (1, 2) or len(z) != len(x):
        raise InputError(f"x, z: expected (n, d) and (n, k) or (n,), received {tuple(x.shape)} and {tuple(z.shape)}")
    if z.ndim == 1 and z.dtype == torch.int64 and len(z.unique()) > 2:
        raise InputError(f"z: expected classes as one-hot columns (n, k), received labels {z.unique().tolist()[:20]}")
    x, z = x.detach().double(), z.double()
    if not (torch.isfinite(x).all() and torch.isfinite(z).all()):
        raise InputError("x, z: expected finite values, received NaN or infinity")
    return x, z if z.ndim == 2 else z.unsqueeze(1)
