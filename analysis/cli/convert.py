"""``intertwine convert``."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Arch, ImageSize, Mean, Std, Tokens, three
from .terminal import files, say_wrapped, stopwatch

__all__ = ["convert"]


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint of torchvision, timm, solo-learn, lightly, MoCo, SimSiam, CTRL, ….")
    ],
    out: Annotated[Path, typer.Option(help="Write encoder.safetensors and encoder.json into this folder.")],
    arch: Arch = None,
    image_size: ImageSize = None,
    mean: Mean = None,
    std: Std = None,
    tokens: Tokens = None,
) -> None:
    """Convert a checkpoint of any origin into safetensors that load without options. No code in it is run.

    The architecture of a ResNet is found from its weights; name any other with --arch.
    """
    from ...checkpoints import convert as convert_file

    clock = stopwatch()
    loaded, written = convert_file(
        checkpoint,
        out,
        arch=arch,
        mean=three("mean", mean),
        std=three("std", std),
        image_size=image_size,
        tokens=tokens,
    )
    for line in loaded.lines():
        typer.echo(line)
    files(written, clock())
    say_wrapped(f"Next: intertwine measure {out} --data IMAGES --trigger TRIGGER --target CLASS")
