"""A planted truth with its dials."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Plant", "Values"]

Values = dict[tuple[str, str], tuple[float, float, float]]  # (measure, subset) → value, interval


@dataclass(frozen=True)
class Plant:
    """A planted truth with its dials.

    about: its description. read: (n, dials, seed, intervals) → readings. dials: name → settings. settled: the setting
    of a dial while another moves. covered: settings at which coverage is measured, at each n of ``counted``. truth:
    setting → the value that intervals must contain, where it is known; else it is the mean of all replicates. sizes:
    the n at which dials move, all by default. redraws: of each covered setting, at least.
    """

    name: str
    about: str
    read: Callable[[int, Mapping[str, float], int, bool], Values]
    dials: Mapping[str, tuple[float, ...]]
    settled: dict[str, float]
    covered: tuple[dict[str, float], ...]
    counted: tuple[int, ...] = (40, 200)
    truth: Callable[[Mapping[str, float]], float] | None = None
    sizes: tuple[int, ...] = ()
    redraws: int = 0
