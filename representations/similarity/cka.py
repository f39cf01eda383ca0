"""Centred kernel alignment between two representations of the same images."""

import torch
from torch import Tensor

from ..checks import check_masks, check_same_images
from ..errors import InputError

__all__ = ["cka", "cka_masked", "gram"]

# A self-term this far below the biased one is rounding, of either sign: there is no variance to compare.
ROUNDING = 1e-12


def cka(x: Tensor, y: Tensor, *, kernel: str = "linear", debiased: bool = True) -> float:
    r"""Centred kernel alignment: HSIC(X, Y) / √(HSIC(X, X) · HSIC(Y, Y)).

    Debiased (default): HSIC₁(K, L) = [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2·1ᵀK̃L̃1/(n−2)] / (n(n−3)), K̃ without its
    diagonal (Song et al., JMLR 13, 2012, eq. 5). The ratio is that of Nguyen et al., ICLR 2021, eq. 2–3. Independent
    data give 0 on average. Small negative values are expected; they are not clamped, which would bias averages. The
    biased form (Kornblith et al., ICML 2019, eq. 4) tends to 1 as d/n grows, for any data.

    A few outlying rows that both sides share decide either form. Compare within subsets, never only over their union.

    Own code: exact and debiased, without an n × n matrix where d, e < n. tests/parity and benchmarks compare libraries.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from the same image. n ≥ 4.
        kernel: ``"linear"``, or ``"rbf"`` with bandwidth the median distance (squared).

    Returns:
        Similarity, at most 1; 1 for representations equal up to rotation, scale and shift (linear). NaN if either
        has no variance to compare: it is constant, or all rows but one coincide (rbf: or most rows do). Linear with
        d, e < n: time O(n(d + e)²), memory O((d + e)² + n(d + e)); else time O(n²(d + e)), memory O(n²).

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> round(cka(x, 3 * x.flip(1) + 7), 6)
    1.0
    """
    x, y = check_same_images(x, y, rows=4)
    if kernel not in ("linear", "rbf"):
        raise InputError(f"kernel: expected 'linear' or 'rbf', received {kernel!r}")
    if kernel == "linear" and max(x.shape[1], y.shape[1]) < len(x):
        x, y = standardised(x), standardised(y)
        p, q = x.square().sum(1), y.square().sum(1)
        terms = [
            ((a.T @ b).square().sum(), s @ t, s.sum(), t.sum())
            for a, b, s, t in ((x, y, p, q), (x, x, p, p), (y, y, q, q))
        ]
        xy, xx, yy = (hsic(*t, n=len(x), debiased=debiased) for t in terms)
        biased = [hsic(*t, n=len(x), debiased=False) for t in terms[1:]]
        return float(normalised(xy, xx, yy, *biased))
    k, m = gram(x, kernel), gram(y, kernel)
    if debiased:
        return float(cka_masked(k, m, torch.ones(1, len(x), dtype=torch.bool, device=x.device)))
    # tr(HKHL) = tr(HK · HL), H the centring matrix
    k, m = k - k.mean(0), m - m.mean(0)
    xy, xx, yy = (k.T * m).sum(), (k.T * k).sum(), (m.T * m).sum()
    return float(normalised(xy, xx, yy, xx, yy))


def hsic(inner: Tensor, fourth: Tensor, p: Tensor, q: Tensor, *, n: int, debiased: bool) -> Tensor:
    """HSIC of the linear kernel from sums over *centred* rows, without a matrix of n × n.

    With Σx = Σy = 0 the rows of K sum to 0, so (K̃1)ᵢ = −‖xᵢ‖². The terms of Song et al.'s eq. 5 become
    tr(K̃L̃) = inner − fourth, 1ᵀK̃1 = −p, 1ᵀK̃L̃1 = fourth.

    Args:
        inner: ‖XᵀY‖², the squared Frobenius norm. fourth: Σ‖xᵢ‖²‖yᵢ‖². p: Σ‖xᵢ‖². q: Σ‖yᵢ‖². Any one shape.
    """
    if not debiased:
        return inner / (n - 1) ** 2
    return (inner - n / (n - 2) * fourth + p * q / ((n - 1) * (n - 2))) / (n * (n - 3))


def normalised(xy: Tensor, xx: Tensor, yy: Tensor, scale_x: Tensor, scale_y: Tensor) -> Tensor:
    """HSIC(X, Y) / √(HSIC(X, X) · HSIC(Y, Y)); NaN where a self-term is only rounding at its scale.

    Args:
        scale_x, scale_y: the biased self-terms, which are sums of squares.
    """
    valid = (xx > ROUNDING * scale_x) & (yy > ROUNDING * scale_y)
    # Two roots: the product of two self-terms is an eighth power and overflows before they do.
    value = xy / xx.clamp(min=0).sqrt() / yy.clamp(min=0).sqrt()
    return torch.where(valid, value, torch.full_like(value, float("nan")))


def cka_masked(k: Tensor, m: Tensor, masks: Tensor) -> Tensor:
    """Debiased CKA of subsets of the images, from Gram matrices ``(n, n)`` computed once.

    HSIC₁ does not depend on centring, so that the matrices serve every subset.

    Args:
        masks: bool ``(B, n)``, the images of each subset.

    Returns:
        float64 ``(B,)``.
    """
    check_masks(masks, len(k))
    w = masks.to(k.dtype).T
    n = w.sum(0)
    k, m = k - torch.diag(k.diagonal()), m - torch.diag(m.diagonal())
    k_rows, m_rows = (k @ w) * w, (m @ w) * w

    def hsic(product: Tensor, a_rows: Tensor, b_rows: Tensor) -> Tensor:
        trace = ((product @ w) * w).sum(0)
        means = a_rows.sum(0) * b_rows.sum(0) / ((n - 1) * (n - 2))
        return (trace + means - 2 * (a_rows * b_rows).sum(0) / (n - 2)) / (n * (n - 3))

    own_k, own_m = hsic(k * k, k_rows, k_rows), hsic(m * m, m_rows, m_rows)
    # Where all images but one coincide there is no variance off the diagonal: the self-term is rounding.
    valid = torch.ones_like(own_k, dtype=torch.bool)
    for own, kernel in ((own_k, k), (own_m, m)):
        valid &= own > ROUNDING * (((kernel * kernel) @ w) * w).sum(0) / (n * (n - 3))
    value = hsic(k * m, k_rows, m_rows) / (own_k * own_m).clamp(min=0).sqrt()
    return torch.where(valid & (n >= 4), value, torch.full_like(value, float("nan")))


def gram(x: Tensor, kernel: str = "linear") -> Tensor:
    """Kernel matrix ``(n, n)``, float64, of ``x (n, d)``, centred and at unit scale."""
    x = standardised(x)
    if kernel == "linear":
        return x @ x.T
    squared = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    median = squared[~torch.eye(len(x), dtype=torch.bool, device=x.device)].median()
    return torch.exp(-squared / (2 * median)) if median > 0 else torch.ones_like(squared)


def standardised(x: Tensor) -> Tensor:
    """``x`` in float64, centred and with mean squared norm 1; 0 where it is constant."""
    x = x.double()
    # Centring first saves the digits that a large mean would cost.
    magnitude = x.norm()
    x = x - x.mean(0)
    # Unit scale: products of four activations would over- or underflow, and the ratio does not depend on it. Of a
    # constant representation only rounding remains, which must not be scaled up into a signal.
    spread = x.norm()
    return x * (len(x) ** 0.5 / spread) if spread > 1e-14 * magnitude else torch.zeros_like(x)
