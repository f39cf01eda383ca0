"""Minibatch CKA: an estimate, for comparison with published numbers only. ``CKAPairs`` is exact, also in one pass."""

from collections.abc import Iterable, Mapping
from itertools import groupby

import torch
from torch import Tensor

from ..errors import InputError
from ._layers import check_finite, check_layers
from .streaming import CKAMatrix

__all__ = ["MinibatchCKA", "minibatch_cka"]


class MinibatchCKA:
    """Linear CKA of all layer pairs from HSICs averaged over batches (Nguyen et al., ICLR 2021).

    Each batch gives the three unbiased HSICs (Song et al., JMLR 13, 2012, eq. 5). They are averaged over batches, and
    the value is the ratio of the averages. Only pairs of images within a batch count, b of n partners each. Where the
    exact debiased value is 0 on average, the estimate has √(n/b) times its standard deviation. It is unbiased only if
    the batches are random: with data sorted by class it misses all pairs of different classes. Batches are weighted by
    their rows; for equal batches this is the mean of the paper. Not clamped.

    Products have the precision of the activations, about a centre near the mean (HSIC₁ does not depend on the origin).
    Errors of float32, about 1e-6, are small relative to those of the method. NaN where a layer has no variance within
    batches. Cost O(nb(D + E)); memory O((L_x + L_y)b²) plus one batch.

    >>> x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    >>> estimate = MinibatchCKA()
    >>> for batch in x.split(16):
    ...     estimate = estimate.update({"a": batch}, {"b": batch.square(), "c": -batch})
    >>> round(float(estimate.compute().values[0, 1]), 4)
    1.0
    """

    def __init__(self) -> None:
        self.n = 0
        self._sides: tuple[_Side, _Side] | None = None

    @torch.inference_mode()
    def update(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> "MinibatchCKA":
        """Add a batch: layer → ``(b, d)`` on each side, b ≥ 4, all rows of the same images in the same order."""
        b = check_layers(x, y, *(side.widths for side in self._sides or ()))
        if b < 4:
            raise InputError(f"x: expected batches of at least 4 rows, received {b}")
        sides = self._sides or (_Side("x", x), _Side("y", y))
        (k, r, unit_x), (m, s, unit_y) = (side.grams(z) for side, z in zip(sides, (x, y), strict=True))

        def hsic(trace: Tensor, means: Tensor, path: Tensor) -> Tensor:
            """b times HSIC₁, from tr(K̃L̃), 1ᵀK̃1·1ᵀL̃1 and 1ᵀK̃L̃1."""
            return (trace + means / ((b - 1) * (b - 2)) - 2 * path / (b - 2)) / (b - 3)

        if self._sides is None:
            self._sides, self._xy = sides, torch.zeros(len(x), len(y), dtype=torch.float64)
        trace = (k @ m.T).double().cpu()
        self._xy += torch.outer(unit_x, unit_y) * hsic(trace, torch.outer(r.sum(1), s.sum(1)), r @ s.T)
        for side, gram, rows, unit in zip(sides, (k, m), (r, s), (unit_x, unit_y), strict=True):
            trace = torch.linalg.vector_norm(gram, dim=1).double().cpu().square()
            side.own += unit.square() * hsic(trace, rows.sum(1).square(), rows.square().sum(1))
            side.scale += unit.square() * trace / (b - 3)
        self.n += b
        return self

    def compute(self) -> CKAMatrix:
        """The estimate so far; NaN where a layer has no variance within batches."""
        if self._sides is None:
            raise InputError("update: expected at least one batch before compute, received none")
        x, y = self._sides
        values = self._xy / x.root().unsqueeze(1) / y.root()
        return CKAMatrix(tuple(x.widths), tuple(y.widths), values)


def minibatch_cka(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """``MinibatchCKA`` of two representations given in batches ``(b, d)`` and ``(b, e)``: an estimate, at most about 1.

    >>> x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    >>> round(minibatch_cka(zip(x.split(16), (3 * x + 7).split(16))), 4)
    1.0
    """
    estimate = MinibatchCKA()
    for x, y in batches:
        estimate.update({"": x}, {"": y})
    return float(estimate.compute().values)


class _Side:
    """The layers of one encoder: their centres, and the sums of their self-terms and of these terms' scales."""

    def __init__(self, name: str, layers: Mapping[str, Tensor]) -> None:
        first = next(iter(layers.values()))
        self.name, self.widths = name, {layer: x.shape[1] for layer, x in layers.items()}
        self.dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        self.centres = {layer: self.mean(x) for layer, x in layers.items()}
        self.own, self.scale = torch.zeros(2, len(layers), dtype=torch.float64)
        self.buffer = first.new_empty(0, dtype=self.dtype)
        self.work: list[Tensor] = []

    def mean(self, x: Tensor) -> Tensor:
        return x.mean(0, dtype=torch.float64).to(self.dtype)  # of float32 constants: exact

    def grams(self, layers: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Gram matrices of the layers' rows about their centres, at a unit of each layer's own.

        Returns:
            the matrices without their diagonals ``(L, b·b)``, which the next batch overwrites; their row sums, float64
            ``(L, b)``; the unit of each matrix, float64 ``(L,)``.
        """
        names, b = list(self.widths), len(next(iter(layers.values())))
        if self.buffer.shape[1:] != (b, b):
            self.buffer = self.buffer.new_empty(len(names), b, b)
            runs = [(width, len(list(run))) for width, run in groupby(self.widths.values())]
            self.work = [self.buffer.new_empty(length, b, width) for width, length in runs]
        k, units = self.buffer, torch.ones(len(names), dtype=torch.float64)
        done = 0
        for work in self.work:  # consecutive layers of one width: one batched product is faster than many small ones
            stop = done + len(work)
            for z, name in zip(work, names[done:stop], strict=True):
                torch.sub(layers[name], self.centres[name], out=z)
            torch.bmm(work, work.mT, out=k[done:stop])
            done = stop
        # drift is ‖Σz‖²/(bΣ‖z‖²): a mean far from the centre would cost digits. And fourth powers overflow float32 long
        # before the activations do.
        diagonal, rows = k.diagonal(dim1=1, dim2=2), k.sum(2)
        largest, drift = diagonal.amax(1), rows.sum(1) / (b * diagonal.sum(1))
        for i in (~((largest > 1e-12) & (largest < 1e12) & (drift < 0.5))).nonzero().flatten().tolist():
            x = layers[names[i]]
            check_finite(self.name, {names[i]: x})
            self.centres[names[i]] = self.mean(x)
            z = x.to(self.dtype) - self.centres[names[i]]
            unit = z.abs().amax()
            z = z / torch.where(unit > 0, unit, torch.ones_like(unit))
            torch.mm(z, z.T, out=k[i])
            rows[i], units[i] = k[i].sum(1), float(unit) ** 2
        rows = (rows - diagonal).double().cpu()
        diagonal.zero_()
        return k.view(len(names), -1), rows, units

    def root(self) -> Tensor:
        """Roots of the self-terms; NaN where one is rounding, of either sign, at its scale."""
        valid = self.own > (1e-12 if self.dtype == torch.float64 else 1e-5) * self.scale
        return torch.where(valid, self.own, torch.full_like(self.own, float("nan"))).sqrt()
