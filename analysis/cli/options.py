"""Options that several commands share, and how their text is read."""

from pathlib import Path
from typing import Annotated

import typer

from ...representations.errors import InputError

__all__ = [
    *("All", "Arch", "Bank", "DataRoot", "Device", "Evaluator", "ImageSize", "Images", "Jobs", "Json", "Mean", "Out"),
    *("RecipeName", "Runs", "Skip", "Std", "StudyFolder", "Threads", "Tokens"),
    *("names", "set_threads", "three"),
]

Out = Annotated[Path, typer.Option(help="Write into this folder.")]
Device = Annotated[str, typer.Option(help="Compute on cpu or cuda; auto chooses.")]
Evaluator = Annotated[
    str, typer.Option(help="Let native, knn or ridge decide which images are hits. Rates are reported by all.")
]
Images = Annotated[int, typer.Option(help="Take all readings but the rates from so many held-out images.")]
Bank = Annotated[int, typer.Option(help="Give the evaluators so many labelled training images.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Use so many CPU threads. The last bits of a result depend on their number.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Work on so many runs at once.")]
All = Annotated[bool, typer.Option("--all", help="Print every reading and every part of a verdict too.")]
Json = Annotated[bool, typer.Option("--json", help="Print rows as JSON, and all else to stderr.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Look for data sets here, and download them to here; the user's cache folder by default."),
]
Skip = Annotated[bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and name them.")]
RecipeName = Annotated[str, typer.Argument(help="A preset by name, or a TOML file.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, or folders with runs below them.")]
StudyFolder = Annotated[
    Path, typer.Argument(help="The folder of a study, a grid or defences, or a copy of its tables.")
]

Arch = Annotated[
    str | None, typer.Option(help="Build this architecture of torchvision's or timm's, or resnet18-cifar, ….")
]
ImageSize = Annotated[int | None, typer.Option(help="Set the side of the images; the architecture's by default.")]
Mean = Annotated[str | None, typer.Option(help="Subtract three numbers from the images' channels, in [0, 1].")]
Std = Annotated[str | None, typer.Option(help="Divide the channels by three numbers after that.")]
Tokens = Annotated[
    str | None, typer.Option(help="Take the cls token of a transformer's blocks, or their mean; cls by default.")
]


def names(text: str | None) -> list[str] | None:
    """Names separated by commas."""
    return [name.strip() for name in text.split(",")] if text is not None else None


def three(name: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, second, third = map(float, text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"{name}: expected three numbers, received {text!r}") from None
    return first, second, third


def set_threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)
