"""Forgetting: what one task loses while another is unlearned."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..representations.errors import InputError

__all__ = ["forgetting_coupling", "walk"]


def walk(
    parameters: Iterable[nn.Parameter], loss: Callable[[int], Tensor], stops: Sequence[int], *, lr: float
) -> Iterator[int]:
    """Change ``parameters`` in place by Adam, and yield after each number of steps in ``stops``.

    Args:
        loss: step (from 0) → scalar to minimise; give the negative of a loss to maximise it.
        stops: ascending, from 0. lr: the constant rate.

    Yields:
        each stop, with the parameters as they are then. A step whose gradient is not finite ends the walk, because the
        weights after it would be meaningless.
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
    retained: Sequence[float],
    forgotten: Sequence[float],
    *,
    excess: float,
    share: float = 0.8,
    least: float = 0.3,
) -> float:
    r"""ΔACC per ΔASR along unlearning: how much of ``retained`` is lost for each point of ``forgotten``.

    The slope through the origin, Σ ΔA·ΔF / Σ ΔF², of the drops from the first point. It uses the points up to the first
    at which ``share`` of ``excess`` is gone, or else up to the lowest. Later points, where the backdoor is gone or
    returns, are no evidence of coupling. 0: apart. 1: both fall equally. Negative: the retained task gains.

    Args:
        retained, forgotten: rates along the path, the untreated one first. The control uses a clean encoder's
            ``retained`` under the same treatment: the cost of the treatment itself.
        excess: ``forgotten`` minus its value where the task was not learned (ASR minus the benign twin's ASR).
        least: the fall of ``forgotten`` that must be reached among those points.

    Returns:
        NaN where ``forgotten`` does not fall by ``least``.

    >>> forgetting_coupling([0.9, 0.85, 0.8, 0.1], [1.0, 0.5, 0.0, 0.0], excess=0.9)
    0.1
    >>> round(forgetting_coupling([0.9, 0.8, 0.1], [1.0, 0.5, 0.6], excess=0.9), 6)  # it comes back
    0.2
    """
    if len(retained) != len(forgotten) or len(retained) < 2:
        raise InputError(
            f"retained, forgotten: expected the same two points or more, received {len(retained)} and {len(forgotten)}"
        )
    drops = [forgotten[0] - f for f in forgotten]
    gone = next((i for i, drop in enumerate(drops) if drop >= share * excess), drops.index(max(drops)))
    used = range(1, gone + 1)
    if not max((drops[i] for i in used), default=0.0) >= least:
        return float("nan")
    return sum((retained[0] - retained[i]) * drops[i] for i in used) / sum(drops[i] ** 2 for i in used)
