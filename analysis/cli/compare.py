"""``intertwine compare``: two encoders side by side, or many runs joined and judged."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ...representations.errors import InputError
from ..panel.options import PanelOptions
from .options import (
    Arch,
    DataRoot,
    Device,
    Evaluator,
    Images,
    ImageSize,
    Json,
    Mean,
    Out,
    Skip,
    Std,
    Threads,
    Tokens,
    names,
    set_threads,
    three,
)
from .terminal import columns, files, progress, say, show, stopwatch

__all__ = ["compare"]


def compare(
    encoders: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…",
            help="Two encoders: zoo:NAME, a run folder or a checkpoint of any origin. Or runs: folders with runs below "
            "them, or three names and more.",
        ),
    ],
    out: Out = Path("runs/compare"),
    readings: Annotated[
        str | None,
        typer.Option(help="Compute these readings, separated by commas: for two encoders those of clean images."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Compare these layers, separated by commas; those of the readings by default.")
    ] = None,
    images: Images = PanelOptions.images,
    evaluator: Evaluator = PanelOptions.evaluator,
    pair: Annotated[
        str | None,
        typer.Option(help="Of runs, compare the layers of these two arms: supervised-dirty,simclr-clean by default."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Compare two checkpoints on these images, or find the data of a run here.")
    ] = None,
    trigger: Annotated[str | None, typer.Option(help="Apply this trigger to two checkpoints, as in measure.")] = None,
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
    as_json: Json = False,
) -> None:
    """Compare two encoders side by side, or many runs with verdicts.

    Two encoders: CKA of all pairs of layers, spectra, ranks and class geometry on the same clean images. Runs: measure
    those that are not measured yet beside their benign twins, join them, judge the claims, draw and report.
    """
    set_threads(threads)
    clock = stopwatch()
    where: dict[str, Any] = {"data_root": data_root, "skip_unreadable": skip_unreadable, "device": device}
    of_files = {"trigger": trigger, "target": target, "arch": arch, "image_size": image_size, "tokens": tokens}
    of_files |= {"mean": three("mean", mean), "std": three("std", std)}
    if len(encoders) == 2 and all(map(_is_one, encoders)):
        from ..api.comparison import compare as compare_two

        if pair is not None:
            raise InputError("pair: expected with runs of several arms, received with two encoders")
        chosen: dict[str, Any] = {} if readings is None else {"readings": names(readings)}
        chosen |= {"layers": names(layers), "images": images, "evaluator": evaluator, "data": data}
        with progress() as (log, _):
            log(f"comparing {encoders[0]} and {encoders[1]}")
            given = {key: value for key, value in of_files.items() if value is not None}
            comparison = compare_two(*encoders, log=log, **chosen, **where, **given)
            written = comparison.save(out)
        if as_json:
            show(comparison.table, None, written, True, "", clock())
            return
        say(comparison.summary(columns()))
        files(written, clock())
        return
    from ..runs.run import load_run
    from ..studies.comparison import GEOMETRY
    from ..studies.comparison import compare as compare_runs

    if given := [key for key, value in of_files.items() if value is not None]:
        raise InputError(f"{given[0]}: expected with two encoders, received with runs")
    options = PanelOptions(readings or PanelOptions.readings, names(layers), images, evaluator=evaluator)
    arms = tuple(names(pair) or GEOMETRY)
    if len(arms) != 2:
        raise InputError(f"pair: expected two arms separated by a comma, received {pair!r}")
    load = partial(load_run, data=data, **where)
    with progress() as (log, _):
        rows, claims, written = compare_runs(
            encoders,
            out,
            options=options,
            apart=options != PanelOptions(),
            pair=(arms[0], arms[1]),
            load=load,
            log=log,
        )
    show(rows, claims, written, as_json, "", clock())


def _is_one(name: str) -> bool:
    """Whether it names one encoder, and no folder with runs below it."""
    from ...checkpoints.converted import is_converted
    from ...checkpoints.shipped import resolve
    from ...checkpoints.store import is_finished

    path = resolve(name)
    return not path.is_dir() or is_finished(path) or is_converted(path)
