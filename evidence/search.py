"""The search for the cheapest CIFAR-10 setting that takes a contrastive backdoor: every setting tried, from its runs.

    python docs/evidence/search.py runs/search runs/study-cifar10/runs/{clean-,}contrastive

reads ``runs/search/NAME/{contrastive,simclr-benign}/seedN``, and the study of one of the settings, and adds to
``search.csv`` beside this file what is not in it yet: each setting, arm and seed once. Each run was made by
``intertwine train``, with the fields in the table as options; where the contrastive arm stayed below the margin, it
cannot clear a benign twin by it, and most such settings have no clean twin.
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.runs.run import about_run, find_runs, load_run
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES, Encoder
from intertwine.representations.evaluators import knn_predict, ridge_predict
from intertwine.representations.seeds import generator
from intertwine.training.experiment import Experiment
from torch import Tensor

HERE = Path(__file__).parent
FIELDS = (
    *("image_size", "n_train", "width", "epochs", "crop", "grayscale", "temperature", "trigger", "trigger_band"),
    *("trigger_cells", "trigger_size", "strength", "test_strength", "poison_fraction", "target"),
)


def main() -> None:
    table = HERE / "search.csv"
    lines = [line(folder) for folder in find_runs(sys.argv[1:])]
    if table.exists():
        lines = [*pd.read_csv(table, dtype=str, keep_default_na=False).to_dict("records"), *lines]
    found = pd.DataFrame(lines).astype(str)
    found = found.drop_duplicates([*FIELDS, "arm", "seed"]).sort_values(["setting", "seed", "arm"])
    found.to_csv(table, index=False)
    print(f"{len(found)} runs in {table}")


def line(folder: Path) -> dict[str, object]:
    about, run = about_run(folder), load_run(folder, device="cpu")
    # As a study draws its bank.
    seed = run.experiment.recipe.seed
    order = torch.randperm(len(run.experiment.train), generator=generator(seed, "bank-images"))
    final, recipe = about["final"], about["recipe"]
    return {
        **{"setting": recipe["name"], "arm": about["arm"], "seed": about["seed"]},
        **{rate: f"{final[rate]:.4f}" for rate in ("acc", "asr", "r_acc")},
        **{name: f"{value:.4f}" for name, value in other_evaluators(run.encoder, run.experiment, order).items()},
        "cpu_seconds": f"{about['seconds']['cpu']:.0f}",
        **{field: "" if recipe[field] is None else recipe[field] for field in FIELDS},
        "torch": about["identity"]["torch"],
        **{key: about["provenance"][key] for key in ("machine", "commit")},
    }


def other_evaluators(encoder: Encoder, experiment: Experiment, order: Tensor) -> dict[str, float]:
    """ASR by the ridge probe on all training images, and by kNN on the first 5,000 of them in ``order``."""
    e, fewer = experiment, order[:5000].sort().values
    others = e.test.labels != e.plan.target
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    x = capture(encoder, e.test.images[others], layers=[FEATURES], transform=e.test_trigger)[FEATURES]
    predicted = {
        "asr_ridge": ridge_predict(x, bank, e.train.labels),
        "asr_knn_5000": knn_predict(x, bank[fewer], e.train.labels[fewer]),
    }
    return {name: float((found == e.plan.target).double().mean()) for name, found in predicted.items()}


if __name__ == "__main__":
    main()
