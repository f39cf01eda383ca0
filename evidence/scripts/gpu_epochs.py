"""The table of runs on a GPU: ``python -m evidence.scripts.gpu_epochs runs/full imagefolder:data/cifar10``.

Adds the runs that :mod:`.slices` left in that folder to ``gpu_epochs.csv``, a line for each epoch with ACC and ASR: by
kNN on all training images, of the weights before they were rounded to half precision. ``seconds``: an epoch's mean
time beside the other runs of its call, evaluation included. The last line of a run also has rates computed here, on a
CPU and of rounded weights: ``asr_ridge`` by the ridge probe on :data:`BANK` training images; if the network has a
native head, by that ``asr_head``, ``asr_head_others`` on images of classes without poisons, and ``asr_head_random``
under unseen triggers. ``gpu_rows.csv`` holds the rows of

    intertwine measure runs/full/official-half/simclr-clean/seed0 --benign runs/full/official-half/simclr-benign/seed0
        --readings acc,asr,asr_including_target,r_acc --bank 50000
"""

import sys

import pandas as pd
import torch
from intertwine.analysis.runs.run import Run, find_runs, load_run, native_head
from intertwine.checkpoints.store import HISTORY
from intertwine.representations import capture
from intertwine.representations.encoders import FEATURES
from intertwine.representations.evaluators import attack_success, ridge_predict

from .. import TABLES
from .rates import UNSEEN, bank_order, success, triggered_features

TABLE = TABLES / "gpu_epochs.csv"
RUN = ["part", "arm", "seed"]
READ = ["epoch", "loss_clean", "loss_poison", "acc", "asr", "r_acc"]
OTHER_RATES = ["asr_ridge", "asr_head", "asr_head_others", "asr_head_random"]
BANK = 10_000


def main() -> None:
    for folder in find_runs([sys.argv[1]]):
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
    for name, value in other_rates(loaded).items():
        read.loc[read.index[-1], name] = f"{value:.4f}"
    columns = [*RUN, *READ, *OTHER_RATES, *(key for key in about if key not in RUN)]
    return read.assign(**about).reindex(columns=columns).map(lambda v: "" if pd.isna(v) else str(v))


def other_rates(run: Run) -> dict[str, float]:
    e, head = run.experiment, native_head(run)
    few = bank_order(e)[:BANK].sort().values
    bank = capture(run.encoder, e.train.images[few], layers=[FEATURES])[FEATURES]
    x = triggered_features(run.encoder, e)
    rates = {"asr_ridge": success(ridge_predict(x, bank, e.train.labels[few]), e)}
    if e.arm.has_classifier:
        predicted, labels = head(x).argmax(1), e.test.labels[e.test.labels != e.plan.target]
        of_poisons = torch.isin(labels, e.train.labels[e.mask])
        others = attack_success(predicted[~of_poisons], labels[~of_poisons], e.plan.target)
        unseen = (triggered_features(run.encoder, e, unseen=index) for index in range(UNSEEN))
        rates["asr_head"] = success(predicted, e)
        rates["asr_head_others"] = float(others.mean())
        rates["asr_head_random"] = sum(success(head(x).argmax(1), e) for x in unseen) / UNSEEN
    return rates


if __name__ == "__main__":
    main()
