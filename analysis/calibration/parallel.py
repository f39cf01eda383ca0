"""Rows of many independent tasks, computed in several processes."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed

__all__ = ["Row", "in_parallel"]

Row = dict[str, object]


def in_parallel(
    one: Callable[..., list[Row]], work: Sequence[tuple[Any, ...]], jobs: int, log: Callable[[str], None]
) -> list[Row]:
    """The rows of all tasks, in the order of ``work``.

    Tasks run in a random order, so that the time of the finished ones predicts the rest.
    """
    order, started = np.random.default_rng(0).permutation(len(work)), time.monotonic()
    done: dict[int, list[Row]] = {}
    found = Parallel(n_jobs=jobs, return_as="generator")(delayed(one)(*work[i]) for i in order)
    for place, rows in zip(order, found, strict=True):
        done[int(place)] = rows
        if len(done) % max(1, len(work) // 20) == 0:
            left = (time.monotonic() - started) * (len(work) / len(done) - 1)
            log(f"{len(done)} of {len(work)} done, about {left / 60:.0f} min left")
    return [row for i in range(len(work)) for row in done[i]]
