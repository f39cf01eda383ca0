"""``intertwine measure`` of a run or an encoder of the zoo: its own images, trigger, target and head."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...representations.errors import InputError
from ..panel.options import PanelOptions
from ..panel.steps import OnStep

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["measure_run", "zoo_entry"]


def zoo_entry(checkpoint: Path, benign: Path | None) -> tuple[Path, Path | None, Path | None]:
    """Folders of checkpoint and benign twin, and where rows of an encoder of the zoo go: not into the package."""
    from ...checkpoints.shipped import resolve

    place = None
    if str(checkpoint).startswith("zoo:"):
        from ..runs.zoo import benign_in_zoo

        twin = benign_in_zoo(checkpoint)
        benign = benign or (Path(twin) if twin else None)
        place = Path("runs/measured") / f"zoo-{str(checkpoint).removeprefix('zoo:')}"
    return resolve(checkpoint), resolve(benign) if benign else None, place


def measure_run(
    checkpoint: Path,
    benign: Path | None,
    *,
    out: Path | None,
    place: Path | None,
    options: PanelOptions,
    log: Callable[[str], None],
    on_step: OnStep,
    **where: Any,
) -> "tuple[pd.DataFrame, str, list[Path]]":
    """The rows, a sentence on the images if it needs one, the files written.

    ``where``: of :func:`intertwine.analysis.runs.run.load_run`.

    Raises:
        InputError: a part of the rows without ``out``.
    """
    from ..results.table import read_rows
    from ..runs.measurement import measure_folder
    from ..runs.run import load_run

    if out is None and options != PanelOptions():
        raise InputError(
            "out: expected a folder with --layers, --readings, --images, --bank or --evaluator: such rows must not "
            "pass for all"
        )
    twin = f" against {benign}" if benign else " (no benign twin given: its rows will be missing)"
    log(f"measuring {checkpoint}{twin}")
    load = partial(load_run, **where)
    written = measure_folder(checkpoint, benign, options, out=out or place, embed=False, load=load, on_step=on_step)
    return read_rows(written[0]), _note(checkpoint, where), written


def _note(checkpoint: Path, where: dict[str, Any]) -> str:
    """What a reader must know of rates on the images that ship with an encoder of the zoo."""
    from ...checkpoints.shipped import carried_file
    from ..runs.carried_images import read_carried

    file = carried_file(checkpoint) if where.get("data") is None and where.get("data_root") is None else None
    return f"Rates are {read_carried(*file).note}." if file else ""
