"""``intertwine zoo``: list, show, verify."""

import json
import math
from typing import Annotated

import typer

from ...representations.errors import InputError
from .options import DataRoot, Device, Json
from .terminal import progress, say_wrapped, stopwatch, table_of

__all__ = ["zoo"]

zoo = typer.Typer(help="List, show and verify the trained encoders that ship with the package.", no_args_is_help=True)


@zoo.command(name="list")
def list_encoders(as_json: Json = False) -> None:
    """List the encoders: how they were trained, their rates and those of their benign twins."""
    from ..runs.zoo import listing

    table = listing()
    if as_json:
        typer.echo(table.to_json(orient="records"))
        return
    for column in ("ACC", "ASR", "benign twin ASR"):
        table[column] = table[column].map(lambda v: "" if math.isnan(v) else f"{v:.3f}")
    # The name of the benign twin is that of the encoder with "benign" at its end; sizes are in --json.
    table = table.drop(columns=["benign", "KiB"]).rename(columns={"benign twin ASR": "twin"})
    others = [column for column in table.columns if column != "data"]
    table_of(table[["data", *others]], "Encoders, by their data (ASR by kNN, beside that of the benign twin)", head=1)
    say_wrapped("Measure one: intertwine measure zoo:NAME. Load one in Python: load_encoder('zoo:NAME').")


@zoo.command()
def show(name: Annotated[str, typer.Argument(help="An encoder's name, from `intertwine zoo list`.")]) -> None:
    """Show what the index holds of one encoder, as JSON: hash, recipe, plan, rates, where it was trained."""
    from ...checkpoints.shipped import PREFIX, index, resolve

    folder = resolve(PREFIX + name.removeprefix(PREFIX))
    typer.echo(json.dumps(index()[folder.name], indent=1))


@zoo.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="Encoders by name; all by default.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Use imagefolder:PATH in place of the folder that encoders were trained on.")
    ] = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compute hashes, ACC and ASR again where the data is at hand. Exit with code 2 if one does not agree."""
    from ...checkpoints.shipped import PREFIX
    from ..runs.zoo import TOLERANCE
    from ..runs.zoo import verify as verify_all

    clock, chosen = stopwatch(), [name.removeprefix(PREFIX) for name in names or ()]
    with progress() as (log, _):
        log("verifying")
        table = verify_all(chosen, data=data, data_root=data_root, device=device)
    if as_json:
        typer.echo(table.to_json(orient="records"))
    else:
        shown = table.copy()
        for column in ("acc", "asr", "r_acc"):
            shown[column] = shown[column].map(lambda v: "" if math.isnan(v) else f"{v:.4f}")
        shown["images off"] = shown["images off"].map(lambda v: "" if math.isnan(v) else f"{v:.0f}")
        table_of(shown, f"Computed again (agrees: at most {TOLERANCE} images off)")
        typer.echo(clock())
    wrong = table[table["status"].isin(["differs", "damaged"])]
    if len(wrong):
        raise InputError(f"zoo: {len(wrong)} of {len(table)} do not agree: {', '.join(wrong['name'])}")
