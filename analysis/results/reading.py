"""A reading: a value with what is needed to believe it."""

from dataclasses import dataclass

from ...probes.nulls import NO_INTERVAL, Interval

__all__ = ["Reading", "undefined"]


@dataclass(frozen=True)
class Reading:
    """``n``: images that the value is an average over; ``d``: width of the layer, or number of weights. ``status`` as
    in
    :data:`.schema.STATUSES`; ``note``: what a reader should know beside it."""

    value: float
    interval: Interval = NO_INTERVAL
    n: int = 0
    status: str = "ok"
    note: str = ""
    d: int = 0


def undefined(reason: str) -> Reading:
    return Reading(float("nan"), status="undefined", note=reason)
