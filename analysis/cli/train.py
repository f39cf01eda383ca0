"""``intertwine train``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DataRoot, Device, RecipeName, Skip, Threads, set_threads
from .recipe_options import recipe_options
from .terminal import files, progress, say_wrapped, stopwatch

__all__ = ["train"]

WRITTEN = ("encoder.safetensors", "head.safetensors", "manifest.json", "history.csv", "snapshots")


@recipe_options()
def train(
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Write the run here; runs/RECIPE/ARM/seedN by default.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the encoder of this run folder or foreign checkpoint.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the curves for TensorBoard into this folder.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
    *,
    changes: dict[str, str],
) -> None:
    """Train one arm by a recipe.

    Options under "Recipe" replace those of the preset or file. Their defaults apply to fields that it does not set.

    Repeat the command to continue a run that was cut short. To train on several devices, call
    torchrun --nproc-per-node 8 --no-python intertwine train ….
    """
    from ...checkpoints.store import load_checkpoint
    from ...training.collapse import collapsed
    from ...training.fit import fit
    from ...training.ranks import rank
    from ...training.recipe import read_recipe
    from ...training.tensorboard import tensorboard as curves

    set_threads(threads)
    draw_curves = curves(tensorboard) if tensorboard else None
    clock = stopwatch()
    chosen = read_recipe(recipe, **changes)
    folder = out or Path("runs") / chosen.name / chosen.arm / f"seed{chosen.seed}"
    with progress(quiet=rank() > 0) as (log, bar):
        log(f"training {chosen.arm}")

        def on_epoch(done: int, total: int, row: dict[str, Any]) -> None:
            bar(done, total, row)
            if draw_curves:
                draw_curves(done, total, row)

        fit(
            chosen,
            folder,
            start=start,
            data_root=data_root,
            skip_unreadable=skip_unreadable,
            device=device,
            on_epoch=on_epoch,
        )
    if rank() > 0:
        return  # the first process speaks for all
    manifest = load_checkpoint(folder).manifest
    final = manifest["final"]
    typer.echo(
        "  ".join(f"{name.upper().replace('_ACC', '-Acc')} {final[name]:.3f}" for name in ("acc", "asr", "r_acc"))
    )
    if sign := collapsed(final, len(manifest["classes"])):
        typer.echo(f"The encoder has collapsed: {sign}. Its readings are no evidence of how it learned.")
    files([folder / name for name in WRITTEN], clock())
    say_wrapped(f"Next: intertwine measure {folder}")
