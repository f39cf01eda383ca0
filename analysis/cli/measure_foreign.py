"""``intertwine measure`` of a checkpoint of any origin, or of a run on other images, with another trigger or target."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...representations.errors import InputError
from ..panel.options import PanelOptions
from ..panel.steps import OnStep
from .options import three

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measure_foreign"]


def measure_foreign(
    checkpoint: Path,
    benign: Path | None,
    *,
    out: Path | None,
    foreign: dict[str, Any],
    options: PanelOptions,
    log: Callable[[str], None],
    on_step: OnStep,
    **evaluation: Any,
) -> "tuple[pd.DataFrame, str, list[Path]]":
    """The rows, a sentence on whether the trigger works, the files written. ``evaluation``: of
    :func:`intertwine.analysis.runs.foreign_encoder.measure_checkpoint`."""
    from ...checkpoints.shipped import resolve
    from ...checkpoints.store import is_finished
    from ..runs.foreign_encoder import measure_checkpoint

    if resolve(checkpoint).exists() and not is_finished(resolve(checkpoint)):
        given = evaluation | {"data": evaluation["data"] or evaluation["evaluation_data"]}
        for name in ("data", "trigger", "target"):
            if given[name] is None:
                raise InputError(f"{name}: expected --{name} for {checkpoint}, received none")
        if evaluation["data"] and evaluation["evaluation_data"]:
            raise InputError("evaluation_data: expected --data or --evaluation-data, received both")
    numbers = {name: three(name, foreign[name]) for name in ("mean", "std")}
    return measure_checkpoint(
        checkpoint, benign, out=out, foreign=foreign | numbers, options=options, log=log, on_step=on_step, **evaluation
    )
