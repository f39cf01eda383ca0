"""Two tables of what the training modules do, from runs: does every objective learn, does every attack take?

    python docs/training/tables.py objectives --data cifar10 [ARM …]
    python docs/training/tables.py attacks [PRESET …]

``objectives``: each method's clean arm, 20 epochs on 10,000 images of CIFAR-10, against random init and raw pixels
(about a quarter of an hour an arm on two CPU cores). ``attacks``: each attack's recipe on digits, beside two other arms
and their benign twins (about a minute a run on one core). Runs go below ``--runs``; one that was cut short continues.
Rows and table are written here after each run, of all runs finished so far.
"""

import argparse
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.results.table import select, write_rows
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import Run, load_run
from intertwine.checkpoints.store import is_finished
from intertwine.training import ARMS, Recipe, fit, read_recipe
from intertwine.training.collapse import collapsed

HERE = Path(__file__).parent
CLEAN = [name for name, arm in ARMS.items() if not arm.is_poisoned]
MARGIN = 0.08
ATTACKS = {
    "digits-badnets": "BadNets",
    "digits-demo": "Blended",
    "digits-sig": "SIG",
    "digits-wanet": "WaNet",
    "digits-ctrl": "CTRL, in luma",
    "digits-sslbackdoor": "SSLBackdoor",
    "digits-badencoder": "BadEncoder",
}
OF_ATTACKS = (
    "In bold the arm that the preset names: what the attack was published for. Random triggers: of the kind, never "
    "trained; where they do as well, the encoder knows the kind and not the trigger."
)
ARMS_TRIED = ("supervised-dirty", "supervised-clean", "simclr-clean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["objectives", "attacks"])
    parser.add_argument("names", nargs="*", help="arms or presets; all by default")
    parser.add_argument("--data", default="cifar10", help="source of CIFAR-10, for instance imagefolder:PATH")
    parser.add_argument("--what", default="", help="what that is, if its name does not say: CIFAR-10, JPEG re-encoded")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    if options.table == "objectives":
        for arm in options.names or CLEAN:
            recipe = read_recipe("cifar10-small-cpu", data=options.data, arm=arm, epochs=20, eval_every=5)
            fit(recipe, options.runs / "objectives" / arm, on_epoch=_say)
            write_objectives(options.runs / "objectives", options.what)
    else:
        for preset in options.names or ATTACKS:
            for recipe, folder in attack_runs(preset, options.runs / "attacks"):
                start = folder.parent / ARMS[recipe.arm].benign if ARMS[recipe.arm].poison == "model" else None
                fit(recipe, folder, start=start, on_epoch=_say)
            write_attacks(options.runs / "attacks")


def _say(done: int, of: int, row: dict[str, float]) -> None:
    print(f"{done}/{of}  " + "  ".join(f"{k} {v:.4g}" for k, v in row.items() if v == v), file=sys.stderr, flush=True)


def attack_runs(preset: str, folder: Path) -> Iterator[tuple[Recipe, Path]]:
    """The attack's own arm and those tried beside it, each after its benign twin."""
    own = read_recipe(preset).arm
    arms = [own] if ARMS[own].poison == "model" else [*dict.fromkeys([own, *ARMS_TRIED])]
    for arm in dict.fromkeys(name for poisoned in arms for name in (ARMS[poisoned].benign, poisoned)):
        yield read_recipe(preset, arm=arm, eval_every=1000), folder / preset / arm


def write_objectives(folder: Path, what: str) -> None:
    runs = [load_run(folder / arm) for arm in CLEAN if is_finished(folder / arm)]
    rows = pd.concat([measure_run(run, readings=["acc"]) for run in runs], ignore_index=True)
    lines = [
        "| arm | ACC (95 %) | random init | raw pixels | gain | ≥ .08 | feature sd | effective rank | projection sd "
        "| collapsed | minutes wall, CPU |",
        "|" + "---|" * 11,
    ]
    for run in runs:
        final, spent = run.checkpoint.manifest["final"], run.checkpoint.manifest["seconds"]
        mine, init, pixels = (_one(rows, run, "acc", reference) for reference in ("", "random-init", "raw-pixels"))
        gain = mine.value - max(init.value, pixels.value)
        projected = "–" if final["projection_sd"] is None else f"{final['projection_sd']:.3f}"
        lines.append(
            f"| {run.experiment.recipe.arm} | {mine.value:.3f} ({mine.ci_low:.3f}–{mine.ci_high:.3f}) "
            f"| {init.value:.3f} | {pixels.value:.3f} | {gain:+.3f} | {'yes' if gain >= MARGIN else '**no**'} "
            f"| {final['feature_sd']:.3f} | {final['effective_rank']:.1f} | {projected} "
            f"| {'**yes**' if collapsed(final) else 'no'} | {spent['wall'] / 60:.0f}, {spent['cpu'] / 60:.0f} |"
        )
    _write("objectives", rows, lines, runs, what)


def write_attacks(folder: Path) -> None:
    lines = [
        "| attack | preset | arm | ACC | ASR (95 %) | benign twin ASR | random triggers | R-Acc | takes (ASR − benign twin ≥ .3) |",
        "|" + "---|" * 9,
    ]
    tables, runs = [], []
    for preset, attack in ATTACKS.items():
        own = read_recipe(preset).arm
        for recipe, path in attack_runs(preset, folder):
            if not ARMS[recipe.arm].is_poisoned or not is_finished(path):
                continue
            run, benign = load_run(path), load_run(path.parent / ARMS[recipe.arm].benign)
            rows = measure_run(run, benign, readings=["acc"])
            rows["run"] = f"{preset}/" + rows["run"]
            acc, asr, r_acc = (_one(rows, run, measure, "") for measure in ("acc", "asr", "r_acc"))
            clean, other = (_one(rows, run, "asr", reference).value for reference in ("benign", "random-trigger"))
            arm = f"**{recipe.arm}**" if recipe.arm == own else recipe.arm
            takes = "yes" if asr.value - clean >= 0.3 else "**no**"
            lines.append(
                f"| {attack} | `{preset}` | {arm} | {acc.value:.3f} | {asr.value:.3f} ({asr.ci_low:.3f}–"
                f"{asr.ci_high:.3f}) | {clean:.3f} | {other:.3f} | {r_acc.value:.3f} | {takes} |"
            )
            tables.append(rows)
            runs.append(run)
    if runs:
        lines += ["", OF_ATTACKS]
        _write("attacks", pd.concat(tables, ignore_index=True), lines, runs)


def _one(rows: pd.DataFrame, run: Run, measure: str, reference: str) -> pd.Series:
    """The kNN reading of that kind."""
    found = select(rows, arm=run.experiment.recipe.arm, measure=measure, reference=reference)
    return found[found["params"].str.startswith("evaluator=knn")].iloc[0]


def _write(name: str, rows: pd.DataFrame, lines: list[str], runs: list[Run], what: str = "") -> None:
    write_rows(rows, HERE / f"{name}.csv")
    recipe, test = runs[0].experiment.recipe, runs[0].experiment.test
    data = f"{what or recipe.data.partition(':')[0]} at {recipe.image_size}×{recipe.image_size}"
    head = (
        f"Seed {recipe.seed}, {data}, {len(runs[0].experiment.train):,} training and {len(test):,} test images, "
        f"weighted kNN on clean training images, 95 % intervals over test images; {platform.machine()}, CPU, torch "
        f"{torch.__version__}. One seed: it says that the code learns, not how methods compare."
    )
    title = {"objectives": "Does every objective learn?", "attacks": "Does every attack take?"}[name]
    command = f"Written by `python docs/training/tables.py {name}`; rows in `{name}.csv`."
    (HERE / f"{name}.md").write_text("\n".join([f"# {title}", "", head, "", *lines, "", command, ""]))
    print(HERE / f"{name}.md")


if __name__ == "__main__":
    main()
