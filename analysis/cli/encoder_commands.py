"""The commands that take one encoder, ours or anyone's: measure, convert."""

from pathlib import Path
from typing import Annotated

import typer

from ...representations.errors import InputError
from .options import DataRoot, Device, Evaluator, Json, Skip, Threads, set_threads, three
from .terminal import files, progress, show, stopwatch

__all__ = ["convert", "measure"]


def measure(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A run folder, zoo:NAME, or a checkpoint of anyone's with --data, --trigger and --target."),
    ],
    benign: Annotated[
        Path | None, typer.Option(help="The run of the same method's clean arm with the same plan; or a checkpoint.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where rows.csv goes; the run folder, or runs/measured/NAME, by default.")
    ] = None,
    readings: Annotated[
        str,
        typer.Option(
            help="standard, cheap (the output, beside benign twin and mixed), or measures separated by commas."
        ),
    ] = "standard",
    layers: Annotated[
        str | None, typer.Option(help="Tap names, separated by commas; by default those of the readings.")
    ] = None,
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    bank: Annotated[int, typer.Option(help="Training images that the evaluators see.")] = 5000,
    evaluator: Evaluator = "knn",
    data: Annotated[
        str | None,
        typer.Option(help="Where a run's data is now, if it has moved; or what a foreign checkpoint is measured on."),
    ] = None,
    evaluation_data: Annotated[
        str | None, typer.Option(help="Other images than those of training: poisoned on one set, used on another.")
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(help="patch:FILE, blend:FILE, python:FILE.py:FUNCTION, or pairs:imagefolder:PATH of copies."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The backdoor's class, by name or number.")] = None,
    arch: Annotated[
        str | None, typer.Option(help="Of a foreign checkpoint: a name of torchvision's or timm's, resnet18-cifar, …")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the images; the architecture's by default.")] = None,
    mean: Annotated[
        str | None, typer.Option(help="Three numbers that a foreign encoder's images lose, in [0, 1].")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Three numbers that they are divided by then.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Of a transformer's blocks: cls (the default), or mean.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
    as_json: Json = False,
) -> None:
    """Read everything off one encoder, beside its references: of a run, or of a checkpoint of anyone's."""
    from functools import partial

    from ...checkpoints.shipped import resolve
    from ...checkpoints.store import is_finished
    from ..panel import PanelOptions
    from ..results.table import read_rows
    from ..runs.measurement import measure_folder
    from ..runs.run import load_run

    chosen = [name.strip() for name in layers.split(",")] if layers is not None else None
    options = PanelOptions(readings, chosen, images, bank, evaluator)
    place = None
    if str(checkpoint).startswith("zoo:"):
        from ..runs.zoo import benign_in_zoo

        twin = benign_in_zoo(checkpoint)
        benign = benign or (Path(twin) if twin else None)
        place = Path("runs/measured") / f"zoo-{str(checkpoint).removeprefix('zoo:')}"
    checkpoint, benign = resolve(checkpoint), resolve(benign) if benign else None
    if is_finished(checkpoint) and (arch or image_size or mean or std or tokens):
        raise InputError("arch, image_size, mean, std, tokens: expected for a foreign checkpoint, received for a run")
    if not is_finished(checkpoint) or evaluation_data or trigger or target:
        from ..runs.foreign_encoder import measure_checkpoint

        set_threads(threads)
        clock = stopwatch()
        with progress() as (log, _):
            rows, sentence, written = measure_checkpoint(
                checkpoint,
                benign,
                out=out,
                data=data,
                evaluation_data=evaluation_data,
                trigger=trigger,
                target=target,
                foreign={
                    "arch": arch,
                    "image_size": image_size,
                    "mean": three("mean", mean),
                    "std": three("std", std),
                    "tokens": tokens,
                },
                options=options,
                data_root=data_root,
                skip_unreadable=skip_unreadable,
                device=device,
                log=log,
            )
        show(rows, None, written, as_json, sentence, clock())
        return
    if out is None and options != PanelOptions():
        raise InputError(
            "out: expected a folder with --layers, --readings, --images, --bank or --evaluator: such rows must not "
            "pass for all"
        )
    set_threads(threads)
    clock = stopwatch()
    with progress() as (log, _):
        log(
            f"measuring {checkpoint}"
            + (f" against {benign}" if benign else " (no benign twin given: its rows will be missing)")
        )
        written = measure_folder(
            checkpoint,
            benign,
            options,
            out=out or place,
            embed=False,
            load=partial(load_run, data=data, data_root=data_root, skip_unreadable=skip_unreadable, device=device),
        )
    rows = read_rows(written[0])
    show(rows, None, written, as_json, "", clock())


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Of torchvision, timm, solo-learn, lightly, MoCo, SimSiam, CTRL, …")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write encoder.safetensors and encoder.json into.")],
    arch: Annotated[
        str | None, typer.Option(help="A name of torchvision's or timm's, resnet18-cifar, …; found out for ResNets.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the images; the architecture's by default.")] = None,
    mean: Annotated[str | None, typer.Option(help="Three numbers that its images lose, in [0, 1].")] = None,
    std: Annotated[str | None, typer.Option(help="Three numbers that they are divided by then.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Of a transformer's blocks: cls (the default), or mean.")] = None,
) -> None:
    """Turn a checkpoint of anyone's into safetensors that load without a question. Nothing of it is run."""
    from ...checkpoints import convert as convert_file

    clock = stopwatch()
    given = {"mean": three("mean", mean), "std": three("std", std), "image_size": image_size, "tokens": tokens}
    loaded, written = convert_file(checkpoint, out, arch=arch, **given)
    for line in loaded.lines():
        typer.echo(line)
    files(written, clock())
