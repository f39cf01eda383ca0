"""The table of what was trained on a GPU: `python docs/evidence/full.py runs/full imagefolder:data/cifar10`.

Adds the runs that :mod:`slices` left in that folder to ``full.csv`` beside this file, a line for each epoch in which
ACC and ASR were read: by kNN on all training images, of the weights before they were rounded to half precision.
``seconds`` is what an epoch took on average beside the other runs of its call, readings included. In the last epoch's
line ``asr_ridge`` and ``asr_head`` are read here, on a CPU and of the rounded weights: ASR by the ridge probe on
:data:`BANK` training images, and by the network's own head if it has one.
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.runs import Run, load_run, native_head
from intertwine.checkpoints.store import HISTORY, is_finished
from intertwine.representations import capture
from intertwine.representations.encoders import FEATURES
from intertwine.representations.evaluate import attack_success, ridge_predict
from intertwine.representations.seeds import generator

TABLE = Path(__file__).parent / "full.csv"
RUN = ["part", "arm", "seed"]
READ = ["epoch", "loss_clean", "loss_poison", "acc", "asr", "r_acc"]
BANK = 10_000


def main() -> None:
    for folder in sorted(Path(sys.argv[1]).glob("*/*/seed*")):
        if is_finished(folder):
            found = lines_of(load_run(folder, data=sys.argv[2], device="cpu"))
            table = pd.concat([*([pd.read_csv(TABLE, dtype=str)] if TABLE.exists() else []), found])
            table.drop_duplicates([*RUN, "epoch"], keep="last").to_csv(TABLE, index=False)
            print(found.iloc[-1].to_dict(), flush=True)


def lines_of(loaded: Run) -> pd.DataFrame:
    run, manifest = loaded.checkpoint.path, loaded.checkpoint.manifest
    history = pd.read_csv(run / HISTORY)
    recipe, made = manifest["recipe"], manifest["provenance"]
    about = {"part": run.parts[-3], "arm": manifest["arm"], "seed": manifest["seed"], "recipe": recipe["name"]}
    about |= {field: recipe[field] for field in ("arch", "width", "epochs", "precision", "compile")}
    about |= {"seconds": f"{manifest['seconds']['wall'] / len(history):.2f}", "machine": made["machine"]}
    about |= {"torch": manifest["identity"]["torch"], "commit": made["commit"]}
    read = history.loc[history["acc"].notna(), READ].round(4)
    for name, value in judged(loaded).items():
        read.loc[read.index[-1], name] = f"{value:.4f}"
    columns = [*RUN, *READ, "asr_ridge", "asr_head", *(key for key in about if key not in RUN)]
    return read.assign(**about).reindex(columns=columns).map(lambda v: "" if pd.isna(v) else str(v))


def judged(run: Run) -> dict[str, float]:
    e, head = run.experiment, native_head(run)
    few = torch.randperm(len(e.train), generator=generator(e.recipe.seed, "bank-images"))[:BANK].sort().values
    others = e.test.labels != e.plan.target
    bank = capture(run.encoder, e.train.images[few], layers=[FEATURES])[FEATURES]
    x = capture(run.encoder, e.test.images[others], layers=[FEATURES], transform=e.test_trigger)[FEATURES]
    predicted = {"asr_ridge": ridge_predict(x, bank, e.train.labels[few])}
    if head is not None:
        predicted["asr_head"] = head(x).argmax(1)
    return {k: float(attack_success(p, e.test.labels[others], e.plan.target).mean()) for k, p in predicted.items()}


if __name__ == "__main__":
    main()
