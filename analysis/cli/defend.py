"""``intertwine defend``."""

from pathlib import Path
from typing import Annotated

import typer

from ..panel.options import PanelOptions
from ..results.schema import DEFAULT_EVALUATOR
from .options import Bank, DataRoot, Device, Images, Jobs, Out, Runs, names
from .terminal import columns, files, progress, say, stopwatch

__all__ = ["defend"]


def defend(
    runs: Runs,
    out: Out = Path("runs/defences"),
    only: Annotated[str | None, typer.Option(help="Try these defences, separated by commas; all by default.")] = None,
    budget: Annotated[float, typer.Option(help="Let the defender know this share of each class to be clean.")] = 0.1,
    images: Images = PanelOptions.images,
    bank: Bank = PanelOptions.bank,
    evaluator: Annotated[
        str, typer.Option(help="Let knn or ridge decide claim C5. Rates are reported by both.")
    ] = DEFAULT_EVALUATOR,
    jobs: Jobs = 1,
    threads: Annotated[int, typer.Option(min=1, help="Give each job so many CPU threads.")] = 1,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Try detectors, inspections and mitigations on runs.

    Repeat the command to continue where it was stopped, or where a defence failed.
    """
    from ..claims.declarations import declared_evaluator
    from ..reports.defence_answer import defence_answer
    from ..studies.defence_study import defend as try_all

    clock = stopwatch()
    with progress() as (log, _):
        rows, written = try_all(
            runs,
            out,
            only=names(only),
            budget=budget,
            options=PanelOptions(images=images, bank=bank, evaluator=evaluator),
            jobs=jobs,
            threads=threads,
            device=device,
            data_root=data_root,
            log=log,
        )
    say(defence_answer(rows, declared_evaluator(out), columns()))
    files(written, clock())
