"""Steps of work that takes long, reported while it is done."""

from collections.abc import Callable

__all__ = ["OnStep", "counted"]

OnStep = Callable[[int, int, str], None]
"""Called with the number of steps done, the number of all, and what they are, in a few words."""


def counted(on_step: OnStep | None, total: int, what: str) -> Callable[[], None]:
    """Report that none of ``total`` steps is done; each call of the result reports one more.

    >>> tick = counted(lambda *reported: print(*reported), 2, "readings")
    0 2 readings
    >>> tick()
    1 2 readings
    """
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, total, what)

    if on_step is not None:
        on_step(0, total, what)
    return tick
