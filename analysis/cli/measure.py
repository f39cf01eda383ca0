"""``intertwine measure``: its options, and which of the two cases an encoder is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...representations.errors import InputError
from ..panel.options import PanelOptions
from .measure_foreign import measure_foreign
from .measure_run import measure_run, zoo_entry
from .options import (
    All,
    Arch,
    Bank,
    DataRoot,
    Device,
    Evaluator,
    Images,
    ImageSize,
    Json,
    Mean,
    Skip,
    Std,
    Threads,
    Tokens,
    names,
    set_threads,
)
from .terminal import progress, say_wrapped, show, stopwatch

__all__ = ["measure"]


def measure(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A run folder, zoo:NAME, or a checkpoint of any origin with --data, --trigger and --target."
        ),
    ],
    benign: Annotated[
        Path | None, typer.Option(help="Compare with this benign twin: a run of the same plan, or a checkpoint.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write rows.csv here; into the run folder or runs/measured/NAME by default.")
    ] = None,
    readings: Annotated[
        str,
        typer.Option(
            help="Compute standard or cheap readings (the output, beside benign and together), or named measures."
        ),
    ] = "standard",
    layers: Annotated[
        str | None, typer.Option(help="Measure these layers, separated by commas; those of the readings by default.")
    ] = None,
    images: Images = PanelOptions.images,
    bank: Bank = PanelOptions.bank,
    evaluator: Evaluator = PanelOptions.evaluator,
    data: Annotated[
        str | None,
        typer.Option(help="Find a run's data here if it has moved; or measure a foreign checkpoint on these images."),
    ] = None,
    evaluation_data: Annotated[str | None, typer.Option(help="Measure on other images than those of training.")] = None,
    trigger: Annotated[
        str | None,
        typer.Option(help="Apply patch:FILE, blend:FILE, python:FILE.py:FUNCTION or pairs:imagefolder:PATH of copies."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Name the backdoor's class, or give its number.")] = None,
    arch: Arch = None,
    image_size: ImageSize = None,
    mean: Mean = None,
    std: Std = None,
    tokens: Tokens = None,
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
    every: All = False,
    as_json: Json = False,
) -> None:
    """Measure one encoder beside its references: a run, an encoder of the zoo, or a checkpoint of any origin.

    The answer comes first. Every reading is in rows.csv; --all prints them.
    """
    from ...checkpoints.store import is_finished

    named = str(checkpoint)
    checkpoint, benign, place = zoo_entry(checkpoint, benign)
    ours = is_finished(checkpoint)
    foreign: dict[str, Any] = {"arch": arch, "image_size": image_size, "mean": mean, "std": std, "tokens": tokens}
    if ours and any(foreign.values()):
        raise InputError(f"{', '.join(foreign)}: expected for a foreign checkpoint, received for a run")
    other: dict[str, Any] = {"evaluation_data": evaluation_data, "trigger": trigger, "target": target}
    options = PanelOptions(readings, names(layers), images, bank, evaluator)
    where: dict[str, Any] = {"data": data, "data_root": data_root, "skip_unreadable": skip_unreadable, "device": device}
    set_threads(threads)
    clock = stopwatch()
    with progress() as (log, _):
        if ours and not any(other.values()):
            rows, _, written = measure_run(checkpoint, benign, out=out, place=place, options=options, log=log, **where)
        else:
            rows, _, written = measure_foreign(
                checkpoint, benign, out=out, foreign=foreign, options=options, log=log, **other, **where
            )
    show(rows, None, written, as_json, "", clock(), every=every)
    if not as_json:
        say_wrapped(f"Next: {_next(named, benign is not None)}")


def _next(checkpoint: str, has_benign: bool) -> str:
    """What a reader would do next."""
    if has_benign:
        return "the same command with --all prints every reading; intertwine compare sets encoders side by side."
    return f"intertwine measure {checkpoint} --benign TWIN, an encoder of the same learner without poison."
