"""HSIC of the linear kernel written out, for the tests of CKA in one pass; and how large an operation's results are."""

from itertools import permutations

import torch
from intertwine.representations.similarity.streaming import CKAPairs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tests.factories import randn


def related(seed: int, n: int, d: int, e: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two representations that share a few directions, with features of unequal sd."""
    z = randn(seed, n, 5)
    x = z @ randn(seed + 1, 5, d) + 2 * randn(seed + 2, n, d)
    return x * (1 + torch.arange(d) % 3), z.square() @ randn(seed + 3, 5, e) + 2 * randn(seed + 4, n, e)


def gram_forms(x: torch.Tensor, y: torch.Tensor) -> list[tuple[float, float]]:
    """HSIC₁ (Song et al., eq. 5, on Gram matrices of centred float64 rows) and the biased HSIC, of xy, xx and yy."""
    n = len(x)
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    k, m = x @ x.T, y @ y.T
    biased = [float(torch.dot(a.flatten(), b.flatten())) / (n - 1) ** 2 for a, b in ((k, m), (k, k), (m, m))]
    k.fill_diagonal_(0)
    m.fill_diagonal_(0)

    def unbiased(a: torch.Tensor, b: torch.Tensor) -> float:
        trace, means = torch.dot(a.flatten(), b.flatten()), a.sum() * b.sum() / ((n - 1) * (n - 2))
        return float(trace + means - 2 * (a.sum(0) @ b.sum(0)) / (n - 2)) / (n * (n - 3))

    return [(unbiased(a, b), c) for (a, b), c in zip(((k, m), (k, k), (m, m)), biased, strict=True)]


def slow_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Song et al., eq. 4: mean over ordered 4-tuples of distinct images of K_ij (L_ij + L_qr − 2 L_iq)."""
    k, m = (x @ x.T).tolist(), (y @ y.T).tolist()
    terms = [k[i][j] * (m[i][j] + m[q][r] - 2 * m[i][q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return sum(terms) / len(terms)


def pairs_of(x: dict[str, torch.Tensor], y: dict[str, torch.Tensor], size: int, kind=CKAPairs):
    result = kind()
    for start in range(0, len(next(iter(x.values()))), size):
        result.update(*({name: z[start : start + size] for name, z in side.items()} for side in (x, y)))
    return result


class Largest(TorchDispatchMode):
    """The largest storage that any operation returns, in bytes; views of ``given`` do not count."""

    def __init__(self, given: torch.Tensor | None = None) -> None:
        super().__init__()
        self.bytes = 0
        self.given = None if given is None else given.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(result)[0]:
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() != self.given:
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result
