"""CKA of every layer of one encoder with every layer of another, on the same images."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ...representations.similarity import CKAPairs
from ..results.reading import Reading, undefined
from .readings import SMALLEST, cka_reading

__all__ = ["cka_of_layers"]


def cka_of_layers(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], seed: int, subset: str
) -> dict[tuple[str, str], Reading]:
    """(layer, other layer) → debiased linear CKA. Layers of one name have an interval.

    Args:
        a, b: layer → features ``(n, d)`` of the same images. subset: what these images are, for notes.
    """
    n = len(next(iter(b.values())))
    if n < SMALLEST:
        nothing = undefined(f"expected at least {SMALLEST} images in {subset}, received {n}")
        return {(layer, other): nothing for layer in a for other in b}
    matrix = CKAPairs().update(dict(a), dict(b)).compute()
    found: dict[tuple[str, str], Reading] = {}
    for i, layer in enumerate(a):
        for j, other in enumerate(b):
            reading = Reading(float(matrix.values[i, j]), n=n)
            if layer == other:
                reading = cka_reading(a[layer], b[layer], seed)
            if reading.value != reading.value:
                reading = undefined("the value is not a number: a layer does not vary")
            found[layer, other] = replace(reading, d=a[layer].shape[1])
    return found
