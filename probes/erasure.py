"""Erasure: take a concept out of features so that no linear probe finds it, and see what else goes with it.

LEACE (Belrose et al., *LEACE: Perfect linear concept erasure in closed form*, NeurIPS 2023) and INLP (Ravfogel et al.,
*Null It Out*, ACL 2020) both give an :class:`Eraser`. :mod:`.erasure_cost` erases the trigger and asks the evaluators.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..representations.encoders import FEATURES, Encoder
from ..representations.errors import InputError
from .linear import folds_of, need_finite, standardiser
from .logistic import fit_logistic

__all__ = ["Eraser", "Inlp", "LeaceFitter", "erasing", "fit_inlp", "fit_leace"]

# Canonical correlations below this are rounding. It is a correlation: no scale of x or z, and no rarity, moves it.
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Eraser:
    """An affine map x ↦ x − left · right · (x − centre) that takes ``rank`` directions out and keeps the mean.

    left ``(d, rank)``, right ``(rank, d)`` with right·left = 1, centre ``(d,)``; float64.
    """

    left: Tensor
    right: Tensor
    centre: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Erased features ``(…, d)``, in the type they came in."""
        return (x.double() - self.removed(x)).to(x.dtype)

    def removed(self, x: Tensor) -> Tensor:
        """What is taken off x, float64 ``(…, d)``."""
        if x.shape[-1] != len(self.centre):
            raise InputError(f"x: expected (…, {len(self.centre)}), received {tuple(x.shape)}")
        left, right, centre = (t.to(x.device) for t in (self.left, self.right, self.centre))
        return (x.double() - centre) @ right.T @ left.T

    @property
    def rank(self) -> int:
        return self.left.shape[1]


# --- LEACE


@dataclass(frozen=True)
class Whitening:
    """Coordinates in which the features are white: x = centre + sd · basis · spread^½ · w with w ~ (0, 1).

    basis ``(d, r)`` orthonormal, spread ``(r,)`` > 0: the correlations' eigenvectors and eigenvalues, without those of
    zero variance. sd ``(d,)``, 0 for constant features.
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
        """Takes out the span of the orthonormal columns of ``white (r, k)``."""
        right = (self.basis @ (white / self.spread.sqrt().unsqueeze(1))).T * _inverse(self.sd)
        return Eraser(self.colour(white), right, self.centre)

    def shrunk(self, shrinkage: float) -> "Whitening":
        """The spread pulled towards that of uncorrelated features, 1."""
        return replace(self, spread=(1 - shrinkage) * self.spread + shrinkage)


def whiten(x: Tensor) -> Whitening:
    """From rows ``(n, d)``, float64, without forming their covariance."""
    mean, unit = standardiser(x)
    _, s, basis = torch.linalg.svd((x - mean) * unit, full_matrices=False)
    return _varying(basis.T, s.square() / (len(x) - 1), _inverse(unit), mean, len(x))


def _varying(basis: Tensor, spread: Tensor, sd: Tensor, centre: Tensor, rows: int) -> Whitening:
    kept = spread > spread.max() * max(rows, len(sd)) * torch.finfo(spread.dtype).eps
    return Whitening(basis[:, kept], spread[kept], sd, centre)


def _inverse(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, torch.zeros_like(x))


def leace(white: Whitening, cross: Tensor, concept: Tensor) -> Eraser:
    """From cov(x, z) ``(d, k)`` and cov(z) ``(k, k)``."""
    # The concept is whitened too: the singular values are then canonical correlations (smaller ones where the features
    # are shrunk), whatever the scale of z and however rare the trigger. For a raw 0/1 concept of share p they are about
    # p times the shift in sds, and a fixed threshold leaves rare triggers in.
    size = concept.diagonal().sqrt()
    unit = _inverse(size)
    values, vectors = torch.linalg.eigh(unit.unsqueeze(1) * concept * unit)
    real = values > values.max().clamp(min=0) * len(values) * torch.finfo(values.dtype).eps
    to_white = unit.unsqueeze(1) * vectors[:, real] / values[real].sqrt()
    u, s, _ = torch.linalg.svd(white.white(cross @ to_white), full_matrices=False)
    return white.eraser(u[:, s > TOLERANCE])


class LeaceFitter:
    """LEACE from data that arrive in batches: ``LeaceFitter(d, k).update(x, z).update(…).eraser()``.

    Holds means and covariances only, O((d + k)²) in float64; merged as in Chan, Golub and LeVeque (1979), so that a
    mean far from zero costs no precision. Cost: O(d²) a row, O(d³) for the eraser. For fewer rows than features, all
    at hand, :func:`fit_leace` is cheaper.
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
        self._mean = self._mean + gap * (len(x) / total)  # a new tensor: erasers keep the old one
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
        unit, keep = _inverse(sd[:d]), (sd[d:] > 0).double()
        spread, basis = torch.linalg.eigh(unit.unsqueeze(1) * covariance[:d, :d] * unit)
        white = _varying(basis, spread, sd[:d], self._mean[:d], self.n).shrunk(shrinkage)
        return leace(white, covariance[:d, d:] * keep, covariance[d:, d:] * keep * keep.unsqueeze(1))


def fit_leace(x: Tensor, z: Tensor, *, shrinkage: float = 0.0) -> Eraser:
    """Least-squares concept erasure: the affine map that leaves no linear trace of z in x and moves x least.

    With Σ = cov(x), W = Σ^(−½) (pseudo-inverse) and Q the orthogonal projection onto the columns of W·cov(x, z):
    r(x) = x − W⁺·Q·W·(x − x̄). On the rows it is fitted to cov(r(x), z) = 0, so that no linear probe does better
    than one that ignores x (by least squares; for classes as one-hot columns by any convex loss). Among all affine
    maps that achieve it r has the smallest E‖r(x) − x‖², whatever inner product measures it (Belrose et al., NeurIPS
    2023).

    Args:
        x: ``(n, d)``, n ≥ 2. z: the concept, ``(n, k)`` or ``(n,)``, bool or number; class labels as one-hot columns.
        shrinkage: in [0, 1], pulls the correlations of the features in W towards 0. The theorem's first half holds for
            any value. Where n is near d a little keeps new rows from being moved far (n = 80, d = 75, independent
            features: mean ‖r(x) − x‖² of new rows 34 at 0, 3.6 at .1), but leaves more of the concept's mean in them;
            what an optimal linear probe finds in new rows is the same for every value, as ``left`` is.

    Degenerate: a constant concept, or one without any correlation with x, gives an eraser of rank 0 (nothing changes);
    constant features stay; linearly dependent columns of z count once.

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


# --- INLP


@dataclass(frozen=True)
class Inlp:
    """``eraser``, and the held-out ``accuracies`` of the probe in each round; the last one is why it stopped, and its
    probe was not taken out (unless all rounds were used). ``chance``: what the stop rule asks a probe to exceed."""

    eraser: Eraser
    accuracies: tuple[float, ...]
    chance: float


def fit_inlp(
    x: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    rounds: int = 20,
    penalty: float = 1e-2,
    seed: int = 0,
) -> Inlp:
    """Iterative null-space projection: fit a logistic probe, project its directions out, again until none helps.

    Ravfogel et al. (ACL 2020), Algorithm 1, as an orthogonal projection about the mean. A random half of the images
    fits each probe, the other half scores it. It stops when the held-out accuracy is no longer above chance, the
    commonest class's share p of the m held-out rows plus 1.645·√(p(1 − p)/m), or after ``rounds``. (Read off its own
    fit a probe with d ≥ n is always right, and everything would be projected out.)

    Unlike LEACE it removes more than the concept needs, one direction a class and round (one for two classes).

    Args:
        x: ``(n, d)``. labels: int64 or bool ``(n,)``. groups: which image a row shows, int64 ``(n,)``; an image's rows
            stay in one half. By default every row is an image of its own.

    Cost: a logistic fit a round. Constant features, or a single class in the fitted half: rank 0.
    """
    if x.ndim != 2 or labels.shape != (len(x),):
        raise InputError(f"x, labels: expected (n, d) and (n,), received {tuple(x.shape)} and {tuple(labels.shape)}")
    if rounds < 1:
        raise InputError(f"rounds: expected at least 1, received {rounds}")
    groups = torch.arange(len(x)) if groups is None else groups
    if groups.shape != labels.shape:
        raise InputError(f"groups: expected shape {tuple(labels.shape)}, received {tuple(groups.shape)}")
    need_finite(x)
    x, labels = x.detach().double(), labels.long()
    ids, image = groups.unique(return_inverse=True)
    held_out = torch.isin(image, folds_of(len(ids), 2, seed)[1])
    share = float(labels[held_out].unique(return_counts=True)[1].max()) / int(held_out.sum())
    chance = share + 1.645 * math.sqrt(share * (1 - share) / int(held_out.sum()))
    centre = x.mean(0)
    taken = x.new_zeros(x.shape[1], 0)
    accuracies: list[float] = []
    while len(accuracies) < rounds:
        projected = x - (x - centre) @ taken @ taken.T
        probe = fit_logistic(projected[~held_out], labels[~held_out], penalty=penalty)
        accuracies.append(float((probe.predict(projected[held_out]) == labels[held_out]).double().mean()))
        if accuracies[-1] <= chance:
            break
        # Adding the same to every class's logit changes nothing: their differences are the directions.
        directions = (probe.weight - probe.weight.mean(0)).T
        directions = directions - taken @ (taken.T @ directions)
        u, s, _ = torch.linalg.svd(directions, full_matrices=False)
        new = u[:, s > 1e-9 * s.max()]
        taken = torch.linalg.qr(torch.cat([taken, new], 1))[0]  # orthonormal again, to the last digit
        if taken.shape[1] >= x.shape[1]:
            break
    return Inlp(Eraser(taken, taken.T, centre), tuple(accuracies), chance)


# --- in the middle of a network


@contextmanager
def erasing(encoder: Encoder, layer: str, eraser: Eraser) -> Iterator[None]:
    """Inside, the encoder's forward pass goes on from ``layer`` with erased activations.

    The eraser acts on what :func:`..representations.capture.capture` reads there. From a map ``(n, d, h, w)`` the same
    vector is taken at every position, so that its mean over positions is the erased feature and its shape over
    positions stays. The hook is removed on the way out.
    """
    if layer not in encoder.layers:
        raise InputError(f"layer: expected one of {', '.join(encoder.layers)}, received {layer}")

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        removed = eraser.removed(output.mean((2, 3)) if output.ndim == 4 else output).to(output.dtype)
        return output - removed.view(*removed.shape, *[1] * (output.ndim - 2))

    module = encoder if layer == FEATURES else encoder.backbone.get_submodule(encoder.layer_modules[layer])
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
