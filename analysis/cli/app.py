"""The command line, assembled. Results go to stdout, progress to stderr; bad input is one line and exit code 2."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ...representations.errors import InputError
from .calibrate import calibrate
from .compare import compare
from .conclude import conclude
from .convert import convert
from .defend import defend
from .demo import demo
from .figures import figures
from .join import join
from .measure import measure
from .presets import presets
from .study import study
from .terminal import tolerate, usage_line
from .train import train
from .zoo import zoo

__all__ = ["app", "main"]

RUNS, STUDIES, TOOLKIT = "One encoder", "Many runs", "The toolkit"
COMMANDS: tuple[tuple[Callable[..., None], str, str], ...] = (
    (train, RUNS, "intertwine train digits-demo --arm supcon-clean --epochs 20 --seed 3"),
    (presets, RUNS, "intertwine presets"),
    (measure, RUNS, "intertwine measure zoo:digits-simclr-blend-clean"),
    (convert, RUNS, "intertwine convert moco_v2_800ep.pth.tar --out converted"),
    (compare, STUDIES, "intertwine compare runs/digits-demo"),
    (study, STUDIES, "intertwine study digits-demo --arms simclr-clean,supervised-clean --seeds 3 --crop 0.3"),
    (join, STUDIES, "intertwine join here/study there/study --out runs/joined"),
    (conclude, STUDIES, "intertwine conclude runs/study-digits-demo"),
    (defend, STUDIES, "intertwine defend runs/study-digits-demo --only clp,strip"),
    (figures, STUDIES, "intertwine figures runs/digits-demo"),
    (demo, TOOLKIT, "intertwine demo --quick"),
    (calibrate, TOOLKIT, "intertwine calibrate --quick --out runs/calibration"),
)
"""Each with its panel in the help and an example."""

CONTINUES = {
    "train": "the same command continues after the last epoch that was saved",
    "study": "the same command continues; what is finished is not done again",
    "demo": "the same command continues; what is finished is not done again",
    "defend": "the same command continues; what is finished is not done again",
    "measure": "nothing was written; the same command begins again",
}
"""How to go on after an interruption, by command."""
INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
for command, panel, example in COMMANDS:
    app.command(rich_help_panel=panel, epilog=f"Example: {example}")(command)
app.add_typer(zoo, name="zoo", rich_help_panel=TOOLKIT)


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(importlib.metadata.version("intertwine"))
        raise typer.Exit


@app.callback()
def intertwine(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Are an image encoder's benign task and its backdoor learned apart, or intertwined?"""


def main() -> None:
    """Entry point: a mistake in the input is one line on stderr and exit code 2; a bug keeps its traceback."""
    tolerate()
    try:
        code = app(prog_name="intertwine", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except typer.TyperException as error:
        _print_mistake(usage_line(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        _print_mistake(f"interrupted; {CONTINUES.get(command, 'repeat the command to begin again')}")
        sys.exit(INTERRUPTED)
    except typer.Abort:
        sys.exit(1)
    except (InputError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        _print_mistake(str(error))
        sys.exit(2)


def _print_mistake(mistake: str) -> None:
    if line := " ".join(mistake.split()):  # none where a command without arguments has printed its help
        print(f"intertwine: {line}", file=sys.stderr)
