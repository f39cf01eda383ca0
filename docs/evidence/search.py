"""The search for the cheapest CIFAR-10 setting that takes a contrastive backdoor: every setting tried, from its runs.

    python docs/evidence/search.py runs/search runs/study-cifar10/runs/{clean-,}contrastive

reads ``runs/search/NAME/{contrastive,clean-contrastive}/seedN``, and the study of one of the settings, and adds to
``search.csv`` beside this file what is not in it yet: each setting, arm and seed once. Each run was made by
``intertwine train``, with the fields in the table as options; where the contrastive arm stayed below the margin, it
cannot clear a floor by it, and most such settings have no clean twin.
"""

import sys
from pathlib import Path

import pandas as pd
from intertwine.analysis.runs import about_run, find_runs

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
    about = about_run(folder)
    final, recipe = about["final"], about["recipe"]
    return {
        **{"setting": recipe["name"], "arm": about["arm"], "seed": about["seed"]},
        **{rate: f"{final[rate]:.4f}" for rate in ("acc", "asr", "r_acc")},
        "cpu_seconds": f"{about['seconds']['cpu']:.0f}",
        **{field: "" if recipe[field] is None else recipe[field] for field in FIELDS},
        "torch": about["identity"]["torch"],
        **{key: about["provenance"][key] for key in ("machine", "commit")},
    }


if __name__ == "__main__":
    main()
