"""Does every objective learn? Each method's clean arm on 10,000 images of CIFAR-10, beside random init and raw pixels.

    python docs/training/objectives.py DATA [--runs FOLDER] [ARM …]

DATA is a source of CIFAR-10: `cifar10`, or `imagefolder:PATH`. A run that was cut short continues. Writes
``objectives.csv`` (rows) and ``objectives.md`` here, of all runs finished so far. About a quarter of an hour an arm on
two CPU cores.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from intertwine.analysis.rows import select, write_rows
from intertwine.analysis.runs import load_run, measure_run
from intertwine.checkpoints.store import is_finished
from intertwine.training import ARMS, fit, read_recipe
from intertwine.training.collapse import collapsed

HERE = Path(__file__).parent
CLEAN = [name for name, arm in ARMS.items() if arm.poisons == "none"]
SETTINGS = {"epochs": 20, "eval_every": 5}
MARGIN = 0.08


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("arms", nargs="*", default=CLEAN)
    parser.add_argument("--runs", type=Path, default=Path("runs/objectives"))
    options = parser.parse_args()
    for arm in options.arms:
        recipe = read_recipe("cifar10-small-cpu", data=options.data, arm=arm, **SETTINGS)
        fit(recipe, options.runs / arm, on_epoch=_say)
        write(options.runs)


def _say(done: int, of: int, row: dict[str, float]) -> None:
    shown = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if v == v)
    print(f"{done}/{of}  {shown}", file=sys.stderr, flush=True)


def write(folder: Path) -> None:
    """Rows and table of the finished runs."""
    runs = [load_run(folder / arm) for arm in CLEAN if is_finished(folder / arm)]
    rows = pd.concat([measure_run(run, readings=["acc"]) for run in runs], ignore_index=True)
    write_rows(rows, HERE / "objectives.csv")
    acc = select(rows, measure="acc", params="evaluator=knn")
    lines = []
    for run in runs:
        final, spent = run.checkpoint.manifest["final"], run.checkpoint.manifest["seconds"]
        mine = select(acc, run=run.name)
        value, init, pixels = (
            float(select(mine, reference=r)["value"].iloc[0]) for r in ("", "random-init", "raw-pixels")
        )
        row = select(mine, reference="").iloc[0]
        gain = value - max(init, pixels)
        lines.append(
            f"| {run.experiment.recipe.arm} | {value:.3f} ({row.ci_low:.3f}–{row.ci_high:.3f}) | {init:.3f} | {pixels:.3f} "
            f"| {gain:+.3f} | {'yes' if gain >= MARGIN else 'no'} | {final['feature_sd']:.3f} "
            f"| {final['effective_rank']:.1f} | {final['projection_sd']:.3f} | {'yes' if collapsed(final) else 'no'} "
            f"| {spent['wall'] / 60:.0f} | {spent['cpu'] / 60:.0f} |"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
