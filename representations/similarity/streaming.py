"""Exact linear CKA in one pass over the data: one pair of representations, or all layer pairs of two encoders.

Only sums over rows are stored: memory does not grow with the number of images. For the linear kernel, HSIC₁ of Song et
al. (JMLR 13, 2012, eq. 5) needs only Σxyᵀ, Σx‖y‖², Σy‖x‖², Σ‖x‖²‖y‖², Σx, Σy, Σ‖x‖² and Σ‖y‖². It does not depend on
the origin. All sums are float64 and about a centre near the mean: a large mean would cost digits.

``MinibatchCKA`` averages over batches and is an estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ._layers import check_finite, check_layers
from .cka import hsic, normalised

__all__ = ["CKA", "CKAMatrix", "CKAPairs"]


@dataclass(frozen=True)
class CKAMatrix:
    """CKA of every layer of one encoder with every layer of another.

    layers_x, layers_y: names, in the order of the rows and of the columns.
    values: float64 ``(len(layers_x), len(layers_y))``; NaN where a layer has no variance to compare.
    """

    layers_x: tuple[str, ...]
    layers_y: tuple[str, ...]
    values: Tensor


class CKA:
    """Linear CKA of two representations, exact, in one pass: ``CKA().update(x, y).update(x2, y2).compute()``.

    The value is that of ``cka(x, y)`` on all rows together, for batches of any sizes in any order. Formula, range and
    invariances are the same.

    Args:
        debiased: as in ``cka``; on by default.

    Cost O(n(d + e)²) in time and O((d + e)²) plus one batch in memory, for any n.

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> stream = CKA()
    >>> for batch in x.split(16):
    ...     stream = stream.update(batch, 3 * batch.flip(1) + 7)
    >>> round(stream.compute(), 6)
    1.0
    """

    def __init__(self, *, debiased: bool = True) -> None:
        self._pairs = CKAPairs(debiased=debiased)

    @property
    def n(self) -> int:
        """Rows seen."""
        return self._pairs.n

    def update(self, x: Tensor, y: Tensor) -> "CKA":
        """Add a batch: ``x (b, d)`` and ``y (b, e)``, row i of both from the same image."""
        self._pairs.update({"": x}, {"": y})
        return self

    def compute(self) -> float:
        """CKA of all rows so far; NaN if either side has no variance to compare. More updates may follow."""
        return float(self._pairs.compute().values)


class CKAPairs:
    """Linear CKA of all layer pairs of two encoders, exact, in one pass and with one matrix product a batch.

    The first update decides the layers and their widths. The work is 2nDE flops for total widths D = Σd and E = Σe. It
    is one product ``(D, b) @ (b, E)`` added in place, and small blocks for the self-terms. Memory is D × E float64 plus
    one batch, for any n: 122 MB for two ResNet-18s with 17 pooled layers (D = E = 3,904).

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> pairs = CKAPairs()
    >>> for batch in x.split(20):
    ...     pairs = pairs.update({"a": batch, "b": batch.square()}, {"c": -2 * batch})
    >>> result = pairs.compute()
    >>> result.layers_x, result.layers_y, tuple(result.values.shape), round(float(result.values[0, 0]), 6)
    (('a', 'b'), ('c',), (2, 1), 1.0)
    """

    def __init__(self, *, debiased: bool = True) -> None:
        self.n = 0
        self._debiased = debiased
        self._sides: tuple[_Side, _Side] | None = None
        self._centred_at = 0

    @torch.no_grad()
    def update(self, x: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> "CKAPairs":
        """Add a batch: layer → ``(b, d)`` on each side, all rows of the same b images in the same order.

        Raises:
            InputError: other layers or widths than before, unequal numbers of rows, or activations that are not finite.
                The sums then stay as they were.
        """
        rows = check_layers(x, y, *(side.widths for side in self._sides or ()))
        if rows == 0:
            return self
        sides = self._sides or (_Side(x), _Side(y))
        if self._sides and self.n >= 4 * self._centred_at:
            # In sorted data the first batch's mean may be far from that of all rows, which costs digits. Moved when n
            # has grown fourfold, the centre is the mean of about a quarter of the rows or more: within about √3 sd.
            self._recentre()
        a, b = sides[0].centred(x), sides[1].centred(y)
        p, q = sides[0].norms(a), sides[1].norms(b)
        for name, layers, norms in (("x", x, p), ("y", y, q)):
            if not torch.isfinite(norms).all():
                check_finite(name, layers)
        if self._sides is None:
            self._sides = sides
            (d, e), (layers_x, layers_y) = (len(side.centre) for side in sides), (len(x), len(y))
            self._cross = _Cross(d, e, layers_x, layers_y, sides[0].centre)
            self._selves = [[_Cross(w, w, 1, 1, side.centre) for w in side.splits] for side in sides]
        self._cross.add(a, b, p, q)
        for side, selves, z, norms in zip(sides, self._selves, (a, b), (p, q), strict=True):
            side.total += z.sum(0)
            side.energy += norms.sum(0)
            for own, block, norm in zip(selves, side.blocks(z), norms.split(1, 1), strict=True):
                own.add(block, block, norm, norm)
        self.n += rows
        return self

    def compute(self) -> CKAMatrix:
        """CKA of all rows so far. More updates may follow."""
        xy, (xx, yy) = self.hsic(debiased=self._debiased)
        scale_x, scale_y = self._own(debiased=False)
        x, y = self._seen()
        xx[x.constant(self.n)] = 0.0
        yy[y.constant(self.n)] = 0.0
        values = normalised(xy, xx.unsqueeze(1), yy, scale_x.unsqueeze(1), scale_y)
        return CKAMatrix(tuple(x.widths), tuple(y.widths), values)

    @torch.no_grad()
    def hsic(self, *, debiased: bool = True) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The terms of the ratio: HSIC of the pairs ``(L_x, L_y)``, and the self-terms ``(L_x,)`` and ``(L_y,)``."""
        x, y = self._seen()
        self._recentre()
        rows = self._cross.second.split(x.splits)
        inner = torch.stack([torch.stack([z.square().sum() for z in y.blocks(row)]) for row in rows])
        xy = hsic(inner, self._cross.fourth, x.energy.unsqueeze(1), y.energy, n=self.n, debiased=debiased)
        own = self._own(debiased=debiased)
        if not all(torch.isfinite(t).all() for t in (xy, *own)):
            raise InputError("x, y: expected activations whose fourth powers are finite in float64, received larger")
        return xy, own

    def _own(self, *, debiased: bool) -> tuple[Tensor, Tensor]:
        terms = []
        for side, selves in zip(self._seen(), self._selves, strict=True):
            inner = torch.stack([own.second.square().sum() for own in selves])
            fourth = torch.cat([own.fourth.flatten() for own in selves])
            terms.append(hsic(inner, fourth, side.energy, side.energy, n=self.n, debiased=debiased))
        return terms[0], terms[1]

    def _seen(self) -> "tuple[_Side, _Side]":
        if self._sides is None or self.n < 4:
            raise InputError(f"update: expected at least 4 rows before compute, received {self.n}")
        return self._sides

    def _recentre(self) -> None:
        """Move both centres to the mean of the rows so far, and every sum with them."""
        if self._sides is None or self._centred_at == self.n:
            return
        x, y = self._sides
        moves = [side.total / self.n for side in self._sides]
        self._cross.move(self.n, x.diagonal(moves[0]), y.diagonal(moves[1]), x.energy, y.energy)
        for side, selves, move in zip(self._sides, self._selves, moves, strict=True):
            for own, block, energy in zip(selves, side.blocks(move), side.energy.split(1), strict=True):
                own.move(self.n, block.unsqueeze(1), block.unsqueeze(1), energy, energy)
            side.move(self.n, move)
        self._centred_at = self.n


class _Side:
    """The layers of one encoder side by side, and the sums over rows that need this side alone.

    widths: layer → d. total: Σ(x − centre), ``(D,)``. energy: Σ‖x − centre‖² of each layer, ``(L,)``.
    """

    def __init__(self, layers: Mapping[str, Tensor]) -> None:
        self.widths = {name: x.shape[1] for name, x in layers.items()}
        self.splits = tuple(self.widths.values())
        self.centre = torch.cat([x.mean(0, dtype=torch.float64) for x in layers.values()])
        self.total = torch.zeros_like(self.centre)
        self.energy = self.centre.new_zeros(len(self.widths))

    def blocks(self, z: Tensor) -> tuple[Tensor, ...]:
        """``z (…, D)`` as views of its layers ``(…, d)``."""
        return z.split(self.splits, -1)

    def centred(self, layers: Mapping[str, Tensor]) -> Tensor:
        """A batch as one float64 ``(b, D)``, about the centre."""
        z = self.centre.new_empty(len(next(iter(layers.values()))), len(self.centre))
        for block, name in zip(self.blocks(z), self.widths, strict=True):
            block.copy_(layers[name])
        return z.sub_(self.centre)

    def norms(self, z: Tensor) -> Tensor:
        """Squared norms ``(b, L)`` of a centred batch."""
        return torch.stack([block.square().sum(1) for block in self.blocks(z)], 1)

    def diagonal(self, v: Tensor) -> Tensor:
        """``v (D,)`` as ``(D, L)``, each layer in a column of its own."""
        return torch.block_diag(*(block.unsqueeze(1) for block in self.blocks(v)))

    def move(self, n: int, by: Tensor) -> None:
        """Move the centre ``by`` total/n."""
        self.centre += by
        self.energy -= n * torch.stack([block.square().sum() for block in self.blocks(by)])
        self.total.zero_()

    def constant(self, n: int) -> Tensor:
        """Which layers are equal in all rows up to rounding, which must not be scaled up into a signal."""
        means = n * torch.stack([block.square().sum() for block in self.blocks(self.centre)])
        return self.energy <= 1e-28 * (self.energy + means)


class _Cross:
    """Sums over rows that couple two sides; squared norms p, q are those of each layer.

    second: Σxyᵀ ``(D, E)``. third_x: Σx qᵀ ``(D, L_y)``. third_y: Σy pᵀ ``(E, L_x)``. fourth: Σp qᵀ ``(L_x, L_y)``.
    """

    def __init__(self, d: int, e: int, layers_x: int, layers_y: int, like: Tensor) -> None:
        self.second, self.fourth = like.new_zeros(d, e), like.new_zeros(layers_x, layers_y)
        self.third_x, self.third_y = like.new_zeros(d, layers_y), like.new_zeros(e, layers_x)

    def add(self, x: Tensor, y: Tensor, p: Tensor, q: Tensor) -> None:
        self.second.addmm_(x.T, y)  # in place: the one large product
        self.third_x.addmm_(x.T, q)
        self.third_y.addmm_(y.T, p)
        self.fourth.addmm_(p.T, q)

    def move(self, n: int, dx: Tensor, dy: Tensor, p: Tensor, q: Tensor) -> None:
        """Move the centres by dx and dy, the means of x and y: x → x − δ, p → p − 2x·δ + ‖δ‖².

        Args:
            dx, dy: the moves, each layer in a column of its own. p, q: Σp and Σq before the move.
        """
        norm_x, norm_y = dx.square().sum(0), dy.square().sum(0)
        along_y, along_x = self.second @ dy, self.second.T @ dx
        self.fourth += 4 * dx.T @ along_y - 2 * (dx.T @ self.third_x + self.third_y.T @ dy)
        self.fourth += torch.outer(p, norm_y) + torch.outer(norm_x, q) - 3 * n * torch.outer(norm_x, norm_y)
        delta, epsilon = dx.sum(1), dy.sum(1)
        self.third_x += torch.outer(delta, 2 * n * norm_y - q) - 2 * along_y
        self.third_y += torch.outer(epsilon, 2 * n * norm_x - p) - 2 * along_x
        self.second.addr_(delta, epsilon, alpha=-n)
