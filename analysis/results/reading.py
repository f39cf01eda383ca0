"""A reading: a value with its interval, its number of images and its status."""

from dataclasses import dataclass

from ...probes.nulls import NO_INTERVAL, Interval

__all__ = ["Reading", "undefined"]


@dataclass(frozen=True)
class Reading:
    """A value and what is known about it.

    n: number of images behind the value. d: width of the layer, or number of weights. status: one of
    :data:`.schema.STATUSES`. note: a remark for readers.
    """

    value: float
    interval: Interval = NO_INTERVAL
    n: int = 0
    status: str = "ok"
    note: str = ""
    d: int = 0


def undefined(reason: str) -> Reading:
    """A reading without a value; its note is the reason."""
    return Reading(float("nan"), status="undefined", note=reason)
