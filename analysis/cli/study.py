"""``intertwine study``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...representations.errors import InputError
from ..panel.options import PanelOptions
from .options import All, Bank, DataRoot, Device, Evaluator, Images, Jobs, Json, RecipeName, names
from .recipe_options import recipe_options
from .terminal import files, progress, say_wrapped, show, stopwatch, table_of

__all__ = ["study"]

PLAN_NOTES = {
    "seeds": "With a standard deviation over seeds up to this one, both tests have a power of .8: one if the truth is "
    "0, the other if it is twice the margin. Give --pilot to use the spread of an earlier study.",
    "pilot": "Seeds in which the attack must work for a power of .8, ten at least. The truth is then 0 or twice the "
    "margin: the one supports the part, the other refutes it. A claim needs the most that one of its parts needs. "
    "Runs an arm: the larger of the two numbers, divided by the pilot's share of successes.",
}


@recipe_options(without=("arm", "seed"))
def study(
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Write the study here; runs/study-RECIPE by default.")] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Train these arms, separated by commas, and their benign twins. "
            "All arms of supervised, supcon and simclr by default."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train so many seeds of every arm.")] = 3,
    most_seeds: Annotated[
        int | None,
        typer.Option(help="Go on with arms whose attack worked in fewer than --seeds runs, up to so many seeds."),
    ] = None,
    first_seed: Annotated[
        int, typer.Option(help="Begin with this seed. Other machines take others; `intertwine join` joins them.")
    ] = 0,
    jobs: Jobs = 1,
    engine: Annotated[str, typer.Option(help="Run local, or on ray: a cluster that shares the folder.")] = "local",
    images: Images = PanelOptions.images,
    bank: Bank = PanelOptions.bank,
    evaluator: Evaluator = PanelOptions.evaluator,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Give each run so many CPU threads; part of the run hash.")] = 1,
    data_root: DataRoot = None,
    no_interventions: Annotated[
        bool,
        typer.Option(
            "--no-interventions",
            help="Skip what takes longer: paths between weights, transplants, task vectors, forgetting, erasure, "
            "steering and matched ASR.",
        ),
    ] = False,
    grid: Annotated[
        str | None,
        typer.Option(metavar="FIELD=VALUE,…", help="Run a study at each value of poison_fraction, strength or target."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print how many seeds each verdict needs, and train nothing.")
    ] = False,
    pilot: Annotated[
        Path | None,
        typer.Option(help="With --plan: take spread and success from this folder of a study, or rows.csv."),
    ] = None,
    every: All = False,
    as_json: Json = False,
    *,
    changes: dict[str, str],
) -> None:
    """Train and measure arms × seeds, and judge the claims over the seeds.

    Options under "Recipe" replace those of the preset or file. Their defaults apply to fields that it does not set.

    Repeat the command to continue a study that was stopped, or in which a run failed.
    """
    if pilot is not None and not plan:
        raise InputError(f"pilot: expected --plan with it, received {pilot} alone")
    from ...training.recipe import read_recipe
    from ..studies.study import STUDY_ARMS, with_benign_twins
    from ..studies.study import conclude as conclude_study
    from ..studies.study import study as run_study

    clock = stopwatch()
    chosen = read_recipe(recipe, **changes)
    if plan:
        _print_plan(with_benign_twins(names(arms) or STUDY_ARMS), seeds, pilot, as_json)
        return
    folder = out or Path("runs") / f"study-{chosen.name}"
    of_study: dict[str, Any] = {
        "arms": names(arms) if arms is not None else STUDY_ARMS,
        **{"first_seed": first_seed, "most_seeds": most_seeds},
        **{"seeds": seeds, "jobs": jobs, "threads": threads, "engine": engine, "data_root": data_root},
        "device": device,
        "options": PanelOptions(images=images, bank=bank, evaluator=evaluator),
        "interventions": not no_interventions,
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
    show(rows, claims, list(dict.fromkeys([*written, *more])), as_json, "", clock(), every=every)


def _print_plan(arms: list[str], seeds: int, pilot: Path | None, as_json: bool) -> None:
    """Print the seeds that verdicts need."""
    from ..claims.learning_claims import REGISTERED
    from ..claims.planning import plan
    from ..reports.claims_tables import plan_table
    from ..results.table import find_table, read_rows

    if seeds < 1:
        raise InputError(f"seeds: expected at least 1, received {seeds}")
    rows = None if pilot is None else read_rows(find_table(pilot, "rows.csv") if pilot.is_dir() else pilot)
    if as_json:
        typer.echo(plan(arms, seeds, rows).to_json(orient="records"))
        return
    known = "without a pilot" if pilot is None else f"by the spread in {pilot}"
    table, of_claim = plan_table(arms, seeds, rows), ["claim", "arm", "against", "level"]
    shown = table[[*of_claim, *(column for column in table.columns if column not in of_claim)]]
    table_of(shown, f"Seeds that verdicts need, {known}", head=len(of_claim))
    say_wrapped(PLAN_NOTES["seeds" if pilot is None else "pilot"])
    if absent := [arm for arm in REGISTERED if arm not in arms]:
        say_wrapped(f"Registered claims that need {', '.join(absent)} cannot come out without it.")
