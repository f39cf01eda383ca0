"""The command line. Results go to stdout, progress to stderr; bad input is one line and exit code 2."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ...representations.errors import InputError
from .encoder_commands import convert, measure
from .options import DataRoot, Device, Evaluator, Json, Out, Runs, Skip, Threads, fields, set_threads
from .terminal import files, progress, show, stopwatch
from .zoo_commands import zoo

# The rooms that need torch are imported inside the commands: `intertwine --help` answers at once.

app = typer.Typer(
    help="Are an image encoder's benign task and its backdoor learned apart, or intertwined?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    from ..studies.demo import QUICK_NOTICE
    from ..studies.demo import demo as run_demo

    set_threads(threads)
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
    from ...checkpoints.store import load_checkpoint
    from ...training.collapse import collapsed
    from ...training.fit import fit
    from ...training.ranks import rank
    from ...training.recipe import read_recipe

    set_threads(threads)
    clock = stopwatch()
    chosen = read_recipe(recipe, **fields(context.args))
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

    from ...training.recipe import Recipe, preset_names

    typer.echo("presets: " + ", ".join(preset_names()))
    for field in dataclasses.fields(Recipe):
        typer.echo(f"  --{field.name.replace('_', '-')}  [{field.default}]")


app.command()(measure)
app.command()(convert)
app.add_typer(zoo, name="zoo")


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
    """Join runs with their benign twins, judge the claims, draw and report. Runs not measured yet are measured."""
    from functools import partial

    from ..runs.run import load_run
    from ..studies.comparison import compare as run_compare

    set_threads(threads)
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
        str | None,
        typer.Option(help="Arms, separated by commas; their benign twins are added. The eight arms by default."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds of every arm.")] = 3,
    first_seed: Annotated[
        int, typer.Option(help="The first of them: other machines take others, and `intertwine join` joins them.")
    ] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: a cluster that shares the folder.")] = "local",
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    bank: Annotated[int, typer.Option(help="Training images that the evaluators see.")] = 5000,
    evaluator: Evaluator = "knn",
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
    from ...training.recipe import read_recipe
    from ..panel import PanelOptions
    from ..results.table import final_rows
    from ..studies.study import STUDY_ARMS
    from ..studies.study import conclude as conclude_study
    from ..studies.study import study as run_study

    clock = stopwatch()
    given = fields(context.args)
    for field in ("arm", "seed"):
        if field in given:
            raise InputError(f"{field}: expected --{field}s for a study, received --{field}")
    chosen = read_recipe(recipe, **given)
    folder = out or Path("runs") / f"study-{chosen.name}"
    of_study: dict[str, Any] = {
        "arms": [a.strip() for a in arms.split(",")] if arms is not None else STUDY_ARMS,
        "first_seed": first_seed,
        **{"seeds": seeds, "jobs": jobs, "threads": threads, "engine": engine, "data_root": data_root},
        "device": device,
        "options": PanelOptions(images=images, bank=bank, evaluator=evaluator),
        "interventions": interventions,
    }
    if grid is not None:
        from ..studies.grid import grid as run_grid

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
    from ..results.table import final_rows, find_table
    from ..studies.defence_conclusion import DEFENCES, conclude_defences
    from ..studies.grid import TABLE, conclude_grid
    from ..studies.study import conclude as conclude_study

    clock = stopwatch()
    if find_table(folder, TABLE).is_file():
        files(conclude_grid(folder)[-1], clock())
        return
    if find_table(folder, DEFENCES).is_file():
        files(conclude_defences(folder), clock())
        return
    rows, claims, written = conclude_study(folder)
    show(final_rows(rows), claims, written, as_json, "", clock())


@app.command()
def join(
    folders: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Studies of one recipe with other seeds.")],
    out: Annotated[Path, typer.Option(help="Folder of the joined study.")],
    as_json: Json = False,
) -> None:
    """Join what several machines have done of one study (`study --first-seed`), and judge, draw and report it."""
    from ..results.table import final_rows
    from ..studies.join import join_studies
    from ..studies.study import conclude as conclude_study

    clock = stopwatch()
    written = join_studies(folders, out)
    rows, claims, more = conclude_study(out)
    show(final_rows(rows), claims, [*written, *more], as_json, "", clock())


@app.command()
def defend(
    runs: Runs,
    out: Out = Path("runs/defences"),
    only: Annotated[str | None, typer.Option(help="Defences, separated by commas; all by default.")] = None,
    budget: Annotated[float, typer.Option(help="Share of the training set that the defender knows to be clean.")] = 0.1,
    images: Annotated[int, typer.Option(help="Held-out images that all readings but the rates are taken from.")] = 2000,
    bank: Annotated[int, typer.Option(help="Training images that the evaluators see.")] = 5000,
    evaluator: Evaluator = "knn",
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each cell.")] = 1,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Try detectors and mitigations on runs. Killed or failed, the same command goes on."""
    from ..panel import PanelOptions
    from ..studies.defence_study import defend as try_all

    clock = stopwatch()
    with progress() as (log, _):
        _, written = try_all(
            runs,
            out,
            only=[name.strip() for name in only.split(",")] if only is not None else None,
            budget=budget,
            options=PanelOptions(images=images, bank=bank, evaluator=evaluator),
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
    from ..calibration.calibration import calibrate as run_calibration

    clock = stopwatch()
    with progress() as (log, _):
        written = run_calibration(out, quick=quick, jobs=jobs, log=log)
    files(written, clock())


@app.command()
def figures(runs: Runs, out: Out = Path("runs/figures")) -> None:
    """Draw all figures of measured runs again, from their rows and side tables."""
    from ..reports.drawing import draw_all
    from ..runs.run import find_runs
    from ..runs.side_tables import ROWS, gather

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
