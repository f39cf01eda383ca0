"""Family E: how a representation is made. It describes; it is no evidence of entanglement."""

import torch
from torch import Tensor

from ...probes.nulls import NO_INTERVAL, jackknife_interval
from ...representations.seeds import generator
from ...representations.similarity import cka, cka_of_kept, gram
from .reading import Entry, Features, Found, Reading

__all__ = ["ENTRIES", "cka_reading"]


def cka_reading(x: Tensor, y: Tensor, seed: int, *, intervals: bool = True) -> Reading:
    """Debiased linear CKA with its interval; an image leaves with both its representations."""
    k, m = gram(x), gram(y)

    def statistic(keep: Tensor) -> Tensor:
        return cka_of_kept(k, m, keep)

    interval = jackknife_interval(statistic, len(x), seed=seed, near_one=True) if intervals else NO_INTERVAL
    return Reading(cka(x, y), interval, len(x))


def _cka(f: Features, pair: str) -> Found:
    return {"cka": cka_reading(*f.pairs(pair.split("~")[0]), f.seed, intervals=f.intervals)}


def _permuted_cka(f: Features, pair: str) -> Found:
    """The pairing broken: triggered images are compared with clean versions of other images. Mean of 5 draws."""
    x, y = f.pairs(pair.split("~")[0])
    draws = [y[torch.randperm(len(y), generator=generator(f.seed, "permuted", i))] for i in range(5)]
    return {"cka": Reading(sum(cka(x, shuffled) for shuffled in draws) / len(draws), n=len(x), params="draws=5")}


ENTRIES = (Entry(("cka",), ("C_o~P", "C_t~P_t"), _cka, nulls={"permuted": _permuted_cka}),)
