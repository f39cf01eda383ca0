"""Settings tried in memory: only their rates along training remain.

    python -m evidence.scripts.prototype RECIPE SEED [FIELD=VALUE …]

trains SimCLR (or another ``arm=``) by a recipe with other fields, ``data=imagefolder:PATH`` among them, and adds a line
to ``prototypes.csv`` for every fifth epoch (``eval_every=``). If the setting is there already, it prints how both
compare, and replaces the earlier one if that was stopped sooner. Lines whose ``trigger`` is not ``recipe`` came from
drafts with triggers of their own (see ``evidence/tables/README.md``).
"""

import sys
import time

import pandas as pd
import torch
from intertwine.training import read_recipe
from intertwine.training.experiment import prepare
from intertwine.training.loop import Training
from intertwine.training.provenance import provenance

from .. import TABLES
from .rates import by_other_evaluators, under_unseen_triggers

TABLE = TABLES / "prototypes.csv"
EVERY = 5
SETTING = ["recipe", "trigger", "changed", "seed"]
RATES = ["acc", "asr", "r_acc", "asr_ridge", "asr_random", "asr_ridge_random"]


def main() -> None:
    name, seed, *words = sys.argv[1:]
    if any(word.startswith("seed=") for word in words):
        sys.exit("seed: expected as the second argument, received it among the fields")
    changes = {"arm": "simclr-clean"} | dict(word.split("=", 1) for word in words)
    recipe = read_recipe(name, **{"seed": int(seed), "eval_every": EVERY} | changes)
    experiment = prepare(recipe)
    training = Training(experiment, torch.device("cpu"))
    order = torch.randperm(len(experiment.train), generator=torch.Generator().manual_seed(0))
    begun, lines = time.process_time(), []
    for epoch in range(recipe.epochs):
        row = training.epoch(epoch)
        if row["acc"] == row["acc"]:
            rates = {rate: row[rate] for rate in ("acc", "asr", "r_acc")}
            rates |= by_other_evaluators(training.encoder, experiment, order)
            if epoch + 1 == recipe.epochs:
                rates |= under_unseen_triggers(training.encoder, experiment)
            lines.append({"epoch": epoch + 1, **{rate: round(value, 3) for rate, value in rates.items()}})
    lines = [dict.fromkeys(RATES) | line for line in lines]
    spent, made = round(time.process_time() - begun), provenance()
    # Where the images lie and how often rates are computed are no part of a setting.
    changed = " ".join(sorted(word for word in words if not word.startswith(("data=", "eval_every="))))
    about = {"recipe": name, "trigger": "recipe", "changed": changed, "seed": int(seed), "epochs": recipe.epochs}
    origin = {"cpu_seconds": spent, "torch": torch.__version__, "machine": made["machine"], "commit": made["commit"]}
    keep(pd.DataFrame([about | line | origin for line in lines]))


def keep(found: pd.DataFrame) -> None:
    """Add lines to the table; if the setting is there already, print how far its rates differ."""
    table = pd.read_csv(TABLE, keep_default_na=False) if TABLE.exists() else found.head(0)
    same = (table[SETTING] == found[SETTING].iloc[0]).all(axis=1)
    there = table[same]
    if len(there):
        both = there.merge(found, on="epoch", suffixes=("", "_now"))
        columns = RATES, [f"{name}_now" for name in RATES]
        was, now = (both[of].apply(pd.to_numeric, errors="coerce").to_numpy() for of in columns)
        off = pd.DataFrame(was - now).abs().max().max()
        how = f"rates differ by at most {off:.3f} over {len(both)} epochs" if len(both) else "computed at other epochs"
        print(f"{' '.join(map(str, found[SETTING].iloc[0]))} is in {TABLE}: {how}")
    if there.empty or there["epoch"].max() < found["epoch"].max():
        pd.concat([table[~same], found]).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
