"""Forgetting: what one task loses while the other is unlearned."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..representations.errors import InputError

__all__ = ["forgetting_coupling", "walk"]


def walk(
    parameters: Iterable[nn.Parameter], loss: Callable[[int], Tensor], stops: Sequence[int], *, lr: float
) -> Iterator[int]:
    """Change ``parameters`` in place by Adam, and pause after each number of steps in ``stops``.

    Args:
        loss: step (from 0) → scalar to go down on; the negative of a loss is gone up on.
        stops: ascending, from 0 up. lr: the constant rate.

    Yields:
        each stop, while the parameters are as they are then. A step whose gradient is not finite ends the walk: what
        comes after it would be no encoder.
    """
    if list(stops) != sorted(set(stops)) or not stops or stops[0] < 0:
        raise InputError(f"stops: expected ascending numbers of steps from 0 up, received {list(stops)}")
    chosen = list(parameters)
    optimiser = torch.optim.Adam(chosen, lr=lr)
    taken = 0
    for stop in stops:
        for step in range(taken, stop):
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                value = loss(step)
            value.backward()
            if not all(bool(p.grad.isfinite().all()) for p in chosen if p.grad is not None):
                return
            optimiser.step()
        taken = stop
        yield stop


def forgetting_coupling(
    kept: Sequence[float],
    forgotten: Sequence[float],
    *,
    excess: float,
    share: float = 0.8,
    least: float = 0.3,
) -> float:
    r"""ΔACC per ΔASR along unlearning: how much of ``kept`` goes for each point of ``forgotten``.

    The slope through the origin, Σ ΔA·ΔF / Σ ΔF², of the drops from the first point, over the points up to the first
    at which ``share`` of ``excess`` is gone, or else up to the lowest: what happens to an encoder after its backdoor is
    gone, or while it comes back, says nothing about the two. 0: apart. 1: they fall alike. Negative: the kept task
    gains.

    Args:
        kept, forgotten: rates along the way, before any step first. The control is the same with a clean encoder's
            ``kept`` under the same treatment: what the treatment itself costs.
        excess: of ``forgotten``, over what it is where nothing was learned (ASR − benign twin ASR).
        least: ``forgotten`` must fall so far somewhere among those points.

    Returns:
        NaN where ``forgotten`` does not fall by ``least``.

    >>> forgetting_coupling([0.9, 0.85, 0.8, 0.1], [1.0, 0.5, 0.0, 0.0], excess=0.9)
    0.1
    >>> round(forgetting_coupling([0.9, 0.8, 0.1], [1.0, 0.5, 0.6], excess=0.9), 6)  # it comes back
    0.2
    """
    if len(kept) != len(forgotten) or len(kept) < 2:
        raise InputError(
            f"kept, forgotten: expected the same two points or more, received {len(kept)} and {len(forgotten)}"
        )
    drops = [forgotten[0] - f for f in forgotten]
    gone = next((i for i, drop in enumerate(drops) if drop >= share * excess), drops.index(max(drops)))
    used = range(1, gone + 1)
    if not max((drops[i] for i in used), default=0.0) >= least:
        return float("nan")
    return sum((kept[0] - kept[i]) * drops[i] for i in used) / sum(drops[i] ** 2 for i in used)
