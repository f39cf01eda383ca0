"""Centred kernel alignment between two representations of the same images."""

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["cka"]


def cka(x: Tensor, y: Tensor, *, kernel: str = "linear", debiased: bool = True) -> float:
    r"""Centred kernel alignment: HSIC(X, Y) / √(HSIC(X, X) · HSIC(Y, Y)).

    Debiased (default): HSIC₁(K, L) = [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2·1ᵀK̃L̃1/(n−2)] / (n(n−3)), K̃ without its
    diagonal: Song et al., JMLR 13 (2012), eq. 5; the ratio as in Nguyen et al., ICLR 2021, eq. 2–3. Independent data give 0
    on average and small negative values are expected: they are not clamped, which would bias averages. The biased form
    (Kornblith et al., ICML 2019, eq. 4) tends to 1 as d/n grows, whatever the data.

    Args:
        x: ``(n, d)``. y: ``(n, e)``, row i of both from the same image. n ≥ 4.
        kernel: ``"linear"``, or ``"rbf"`` with bandwidth the median distance (squared).

    Returns:
        Similarity, at most 1; 1 for representations equal up to rotation, scale and shift (linear). NaN if either
        is constant (a self-term is not positive). Cost O(n²(d + e)).

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> round(cka(x, 3 * x.flip(1) + 7), 6)
    1.0
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(f"x, y: expected (n, d) and (n, e), received {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) < 4:
        raise InputError(f"x: expected at least 4 rows, received {len(x)}")
    if kernel not in ("linear", "rbf"):
        raise InputError(f"kernel: expected 'linear' or 'rbf', received {kernel!r}")
    hsic = _hsic_debiased if debiased else _hsic_biased
    k, m = _gram(x, kernel), _gram(y, kernel)
    own = hsic(k, k) * hsic(m, m)
    if not own > 0:
        return float("nan")
    return float(hsic(k, m) / own**0.5)


def _gram(x: Tensor, kernel: str) -> Tensor:
    x = x.double()
    # Centring first changes nothing in exact arithmetic and saves the digits that a large mean would cost.
    magnitude = x.norm()
    x = x - x.mean(0)
    # Unit scale: products of four activations would over- or underflow, and the ratio does not depend on it. What is left
    # of a constant representation is rounding, which must not be blown up into a signal.
    spread = x.norm()
    x = x * (len(x) ** 0.5 / spread) if spread > 1e-14 * magnitude else torch.zeros_like(x)
    if kernel == "linear":
        return x @ x.T
    squared = torch.cdist(x, x).square()
    median = squared[~torch.eye(len(x), dtype=torch.bool)].median()
    return torch.exp(-squared / (2 * median)) if median > 0 else torch.ones_like(squared)


def _hsic_debiased(k: Tensor, m: Tensor) -> Tensor:
    n = len(k)
    k = k - torch.diag(k.diagonal())
    m = m - torch.diag(m.diagonal())
    k_rows, m_rows = k.sum(1), m.sum(1)
    trace = (k * m).sum()
    return (
        trace + k_rows.sum() * m_rows.sum() / ((n - 1) * (n - 2)) - 2 * (k_rows @ m_rows) / (n - 2)
    ) / (n * (n - 3))


def _hsic_biased(k: Tensor, m: Tensor) -> Tensor:
    # tr(HK · HL), H the centring matrix
    k, m = k - k.mean(0), m - m.mean(0)
    return (k.T * m).sum() / (len(k) - 1) ** 2
