"""Two tables of what the training modules do: does every objective learn, and does every attack work?

    python -m evidence.scripts.training_tables objectives --data imagefolder:data/cifar10 [ARM …]
    python -m evidence.scripts.training_tables attacks [PRESET …]

``objectives``: the benign arm of each learner, 20 epochs on 10,000 images of CIFAR-10 (about a quarter of an hour an
arm on two CPU cores). ``attacks``: each attack's recipe on digits, two other arms beside it, and their benign twins
(about a minute a run on one core). Runs go below ``--runs``; one that was cut short continues. Writes
``objectives.csv`` and ``objectives_fit.csv``, or ``attacks.csv``; ``python -m evidence`` makes pages of them.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.table import write_rows
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import load_run
from intertwine.checkpoints.store import is_finished
from intertwine.training import ARMS, Recipe, fit, read_recipe
from intertwine.training.collapse import collapsed

from .. import TABLES
from ..collect.training import ATTACKS

BENIGN = [name for name, arm in ARMS.items() if not arm.is_poisoned]
OPTIONS = PanelOptions(readings=["acc"])
ARMS_TRIED = ("supervised-dirty", "supervised-clean", "simclr-clean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["objectives", "attacks"])
    parser.add_argument("names", nargs="*", help="arms or presets; all by default")
    parser.add_argument("--data", default="cifar10", help="source of CIFAR-10, for instance imagefolder:PATH")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    if options.table == "objectives":
        for arm in options.names or BENIGN:
            recipe = read_recipe("cifar10-ctrl-cpu", data=options.data, arm=arm, epochs=20, eval_every=5)
            fit(recipe, options.runs / "objectives" / arm, on_epoch=_print)
            write_objectives(options.runs / "objectives")
    else:
        for preset in options.names or ATTACKS:
            for recipe, folder in attack_runs(preset, options.runs / "attacks"):
                start = folder.parent / ARMS[recipe.arm].benign if ARMS[recipe.arm].poison == "model" else None
                fit(recipe, folder, start=start, on_epoch=_print)
            write_attacks(options.runs / "attacks")


def _print(done: int, of: int, row: dict[str, float]) -> None:
    print(f"{done}/{of}  " + "  ".join(f"{k} {v:.4g}" for k, v in row.items() if v == v), file=sys.stderr, flush=True)


def attack_runs(preset: str, folder: Path) -> Iterator[tuple[Recipe, Path]]:
    """The attack's own arm and those tried beside it, each after its benign twin."""
    own = read_recipe(preset).arm
    arms = [own] if ARMS[own].poison == "model" else [*dict.fromkeys([own, *ARMS_TRIED])]
    for arm in dict.fromkeys(name for poisoned in arms for name in (ARMS[poisoned].benign, poisoned)):
        yield read_recipe(preset, arm=arm, eval_every=1000), folder / preset / arm


def write_objectives(folder: Path) -> None:
    runs = [load_run(folder / arm) for arm in BENIGN if is_finished(folder / arm)]
    rows = [measure_run(run, options=OPTIONS) for run in runs]
    write_rows(pd.concat(rows, ignore_index=True), TABLES / "objectives.csv")
    lines = []
    for run in runs:
        final, spent = run.checkpoint.manifest["final"], run.checkpoint.manifest["seconds"]
        sizes = {name: round(final[name], 3) for name in ("feature_sd", "effective_rank")}
        sizes["projection_sd"] = None if final["projection_sd"] is None else round(final["projection_sd"], 3)
        minutes = {f"{kind}_minutes": round(spent[kind] / 60) for kind in ("wall", "cpu")}
        lines.append({"arm": run.experiment.recipe.arm, **sizes, "collapsed": collapsed(final), **minutes})
    pd.DataFrame(lines).to_csv(TABLES / "objectives_fit.csv", index=False)


def write_attacks(folder: Path) -> None:
    tables = []
    for preset in ATTACKS:
        for recipe, path in attack_runs(preset, folder):
            if ARMS[recipe.arm].is_poisoned and is_finished(path):
                run, benign = load_run(path), load_run(path.parent / ARMS[recipe.arm].benign)
                rows = measure_run(run, benign, OPTIONS)
                tables.append(rows.assign(run=f"{preset}/" + rows["run"]))
    write_rows(pd.concat(tables, ignore_index=True), TABLES / "attacks.csv")


if __name__ == "__main__":
    main()
