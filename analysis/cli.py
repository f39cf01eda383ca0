"""The command line. Results go to stdout, progress to stderr; bad input is one line and exit code 2."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..representations.errors import InputError
from .terminal import files, progress, show, stopwatch

# The rooms that need torch are imported inside the commands: `intertwine --help` answers at once.

app = typer.Typer(
    help="Are an image encoder's benign task and its backdoor learned apart, or intertwined?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; part of the run hash, since bits depend on it.")]
Json = Annotated[bool, typer.Option("--json", help="Print rows as JSON; everything else goes to stderr.")]
DataRoot = Annotated[Path | None, typer.Option(help="Where data sets are, or are downloaded to.")]
Skip = Annotated[bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and say which.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders, or folders with runs below them.")]


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Decides initialisation, order, split, plan and trigger pattern.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few epochs: every output, no conclusions (a minute and a half).")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train five arms on digits, measure, judge, draw and report: the whole toolkit in one command."""
    from .demo import QUICK_NOTICE
    from .demo import demo as run_demo

    _threads(threads)
    clock = stopwatch()
    with progress() as (log, bar):
        rows, claims, written = run_demo(out, seed=seed, quick=quick, device=device, log=log, on_epoch=bar)
    show(rows, claims, written, as_json, QUICK_NOTICE if quick else "", clock())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A preset by name or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/RECIPE/ARM/seedN by default.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Run folder of the clean encoder that a model attack (badencoder) begins with.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
) -> None:
    """Train one arm. Every field of the recipe is an option: --arm contrastive --epochs 20 --seed 3 …

    A run that was cut short continues where it was. `intertwine presets` lists recipes and their fields. On several
    devices: torchrun --nproc-per-node 8 --no-python intertwine train …
    """
    from ..checkpoints.store import load_checkpoint
    from ..training.collapse import collapsed
    from ..training.fit import fit
    from ..training.ranks import rank
    from ..training.recipe import read_recipe

    _threads(threads)
    clock = stopwatch()
    chosen = read_recipe(recipe, **_fields(context.args))
    folder = out or Path("runs") / chosen.name / chosen.arm / f"seed{chosen.seed}"
    with progress(quiet=rank() > 0) as (log, bar):
        log(f"training {chosen.arm}")
        fit(
            chosen,
            folder,
            start=start,
            data_root=data_root,
            skip_unreadable=skip_unreadable,
            device=device,
            on_epoch=bar,
        )
    if rank() > 0:
        return  # the first process speaks for all
    manifest = load_checkpoint(folder).manifest
    final = manifest["final"]
    typer.echo(
        "  ".join(f"{name.upper().replace('_ACC', '-Acc')} {final[name]:.3f}" for name in ("acc", "asr", "r_acc"))
    )
    if sign := collapsed(final, len(manifest["classes"])):
        typer.echo(f"The encoder has collapsed: {sign}. Its readings say nothing about how it learned.")
    files(
        [
            folder / name
            for name in ("encoder.safetensors", "head.safetensors", "manifest.json", "history.csv", "snapshots")
        ],
        clock(),
    )


@app.command()
def presets() -> None:
    """List the recipes that ship with the package, and the fields of a recipe with their defaults."""
    import dataclasses

    from ..training.recipe import Recipe, preset_names

    typer.echo("presets: " + ", ".join(preset_names()))
    for field in dataclasses.fields(Recipe):
        typer.echo(f"  --{field.name.replace('_', '-')}  [{field.default}]")


@app.command()
def measure(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run folder, or a checkpoint of anyone's, with --data, --trigger and --target.")
    ],
    floor: Annotated[
        Path | None, typer.Option(help="The run of the same method's clean arm with the same plan; or a checkpoint.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where rows.csv goes; the run folder, or runs/measured/NAME, by default.")
    ] = None,
    readings: Annotated[
        str, typer.Option(help="standard, cheap (the tap, beside floor and mixed), or measures separated by commas.")
    ] = "standard",
    layers: Annotated[
        str | None, typer.Option(help="Tap names, separated by commas; by default those of the readings.")
    ] = None,
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    bank: Annotated[int, typer.Option(help="Training images that the evaluators see.")] = 5000,
    data: Annotated[
        str | None,
        typer.Option(help="Where a run's data is now, if it has moved; or what a foreign checkpoint is measured on."),
    ] = None,
    probe_data: Annotated[
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

    from ..checkpoints.store import is_finished
    from .compare import measure_folder
    from .rows import read_rows
    from .runs import load_run

    if is_finished(checkpoint) and (arch or image_size or mean or std or tokens):
        raise InputError("arch, image_size, mean, std, tokens: expected for a foreign checkpoint, received for a run")
    if not is_finished(checkpoint) or probe_data or trigger or target:
        from .outside import measure_checkpoint

        _threads(threads)
        clock = stopwatch()
        with progress() as (log, _):
            rows, sentence, written = measure_checkpoint(
                checkpoint,
                floor,
                out=out,
                data=data,
                probe_data=probe_data,
                trigger=trigger,
                target=target,
                foreign={
                    "arch": arch,
                    "image_size": image_size,
                    "mean": _three("mean", mean),
                    "std": _three("std", std),
                    "tokens": tokens,
                },
                readings={
                    "readings": readings,
                    "layers": [name.strip() for name in layers.split(",")] if layers is not None else None,
                    "most": images,
                    "most_bank": bank,
                },
                data_root=data_root,
                skip_unreadable=skip_unreadable,
                device=device,
                log=log,
            )
        show(rows, None, written, as_json, sentence, clock())
        return
    if out is None and (layers is not None or readings != "standard" or (images, bank) != (2000, 5000)):
        raise InputError(
            "out: expected a folder with --layers, --readings, --images or --bank: such rows must not pass for all"
        )
    _threads(threads)
    clock = stopwatch()
    with progress() as (log, _):
        log(
            f"measuring {checkpoint}"
            + (f" against {floor}" if floor else " (no floor given: its rows will be missing)")
        )
        written = measure_folder(
            checkpoint,
            floor,
            out=out,
            layers=[name.strip() for name in layers.split(",")] if layers is not None else None,
            readings=readings,
            most=images,
            most_bank=bank,
            embed=False,
            load=partial(load_run, data=data, data_root=data_root, skip_unreadable=skip_unreadable, device=device),
        )
    rows = read_rows(written[0])
    show(rows, None, written, as_json, "", clock())


@app.command()
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
    from ..checkpoints import convert as convert_file

    clock = stopwatch()
    given = {"mean": _three("mean", mean), "std": _three("std", std), "image_size": image_size, "tokens": tokens}
    loaded, written = convert_file(checkpoint, out, arch=arch, **given)
    for line in loaded.lines():
        typer.echo(line)
    files(written, clock())


@app.command()
def compare(
    runs: Runs,
    out: Out = Path("runs/compare"),
    device: Device = "auto",
    threads: Threads = None,
    data_root: DataRoot = None,
    skip_unreadable: Skip = False,
    as_json: Json = False,
) -> None:
    """Join runs with their floors, judge the claims, draw and report. Runs not measured yet are measured."""
    from functools import partial

    from .compare import compare as run_compare
    from .runs import load_run

    _threads(threads)
    clock = stopwatch()
    load = partial(load_run, data_root=data_root, skip_unreadable=skip_unreadable, device=device)
    with progress() as (log, _):
        rows, claims, written = run_compare(runs, out, load=load, log=log)
    show(rows, claims, written, as_json, "", clock())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def study(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A preset by name or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the study; runs/study-RECIPE by default.")] = None,
    arms: Annotated[
        str | None, typer.Option(help="Arms, separated by commas; their floors are added. The eight arms by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0 to N − 1 of every arm.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: a cluster that shares the folder.")] = "local",
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each run; part of the run hash.")] = 1,
    data_root: DataRoot = None,
    interventions: Annotated[
        bool, typer.Option(help="Also path between weights, transplants, forgetting, erasure, matched ASR: longer.")
    ] = True,
    grid: Annotated[
        str | None,
        typer.Option(help="FIELD=VALUE,VALUE,…: a study at each value of poison_fraction, strength or target."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train and measure arms × seeds, judge the claims over seeds. Killed or failed, the same command goes on.

    Every field of the recipe is an option, as in `train`.
    """
    from ..training.recipe import read_recipe
    from .rows import final_rows
    from .study import STUDY_ARMS
    from .study import conclude as conclude_study
    from .study import study as run_study

    clock = stopwatch()
    fields = _fields(context.args)
    for field in ("arm", "seed"):
        if field in fields:
            raise InputError(f"{field}: expected --{field}s for a study, received --{field}")
    chosen = read_recipe(recipe, **fields)
    folder = out or Path("runs") / f"study-{chosen.name}"
    of_study: dict[str, Any] = {
        "arms": [a.strip() for a in arms.split(",")] if arms is not None else STUDY_ARMS,
        **{"seeds": seeds, "jobs": jobs, "threads": threads, "engine": engine, "data_root": data_root},
        **{"device": device, "most": images, "interventions": interventions},
    }
    if grid is not None:
        from .grid import grid as run_grid

        field, _, values = grid.partition("=")
        with progress() as (log, _):
            points = [value.strip() for value in values.split(",") if value.strip()]
            _, _, written = run_grid(chosen, folder, field.strip().replace("-", "_"), points, log=log, **of_study)
        files(written, clock())
        return
    with progress() as (log, _):
        *_, written = run_study(chosen, folder, log=log, **of_study)
        log("drawing figures")
        rows, claims, more = conclude_study(folder)
    show(final_rows(rows), claims, list(dict.fromkeys([*written, *more])), as_json, "", clock())


@app.command()
def conclude(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, a grid or defences, or a copy of its tables.")],
    as_json: Json = False,
) -> None:
    """Verdicts, figures and report of a study, of a grid or of defences again, from their tables alone."""
    from .defence_report import TABLE as OF_DEFENCES
    from .defence_report import conclude_defences
    from .grid import TABLE, conclude_grid
    from .rows import final_rows, find_table
    from .study import conclude as conclude_study

    clock = stopwatch()
    if find_table(folder, TABLE).is_file():
        files(conclude_grid(folder)[-1], clock())
        return
    if find_table(folder, OF_DEFENCES).is_file():
        files(conclude_defences(folder), clock())
        return
    rows, claims, written = conclude_study(folder)
    show(final_rows(rows), claims, written, as_json, "", clock())


@app.command()
def defend(
    runs: Runs,
    out: Out = Path("runs/defences"),
    only: Annotated[str | None, typer.Option(help="Defences, separated by commas; all by default.")] = None,
    budget: Annotated[float, typer.Option(help="Share of the training set that the defender knows to be clean.")] = 0.1,
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each cell.")] = 1,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Try detectors and mitigations on runs. Killed or failed, the same command goes on."""
    from .trials import defend as try_all

    clock = stopwatch()
    with progress() as (log, _):
        _, written = try_all(
            runs,
            out,
            only=[name.strip() for name in only.split(",")] if only is not None else None,
            budget=budget,
            most=images,
            jobs=jobs,
            threads=threads,
            device=device,
            data_root=data_root,
            log=log,
        )
    files(written, clock())


@app.command()
def calibrate(
    out: Out = Path("docs/calibration"),
    quick: Annotated[bool, typer.Option("--quick", help="Few replicates: every output, no conclusions.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Hold every reading of families B and C against planted truth, and the coverage of the intervals."""
    from .calibration import calibrate as run_calibration

    clock = stopwatch()
    with progress() as (log, _):
        written = run_calibration(out, quick=quick, jobs=jobs, log=log)
    files(written, clock())


@app.command()
def figures(runs: Runs, out: Out = Path("runs/figures")) -> None:
    """Draw all figures of measured runs again, from their rows and side tables."""
    from .drawing import draw_all
    from .runs import ROWS, find_runs, gather

    clock = stopwatch()
    folders = find_runs(runs)
    files(draw_all(folders, gather(folders, ROWS), out), clock())


def main() -> None:
    """Entry point: a mistake in the input is one line on stderr and exit code 2; a bug keeps its traceback."""
    try:
        app()
    except (InputError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        print(f"intertwine: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _fields(arguments: list[str]) -> dict[str, str]:
    """``--field value`` and ``--field=value`` pairs as recipe fields."""
    fields: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("--"):
            raise InputError(f"train: expected --field value, received {word!r}")
        name, equals, value = word[2:].partition("=")
        if not equals and (value := next(rest, "")) == "":
            raise InputError(f"train: expected a value after --{name}, received none")
        fields[name.replace("-", "_")] = value
    return fields


def _three(name: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        first, second, third = map(float, text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"{name}: expected three numbers, received {text!r}") from None
    return first, second, third


def _threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)
