"""What other evaluators, and triggers that were not trained, report of the zoo's poisoned encoders.

    python -m evidence.scripts.zoo_rates imagefolder:data/cifar10 [NAME …]

writes ``zoo_rates.csv``: ASR by the ridge probe on all training images and by kNN on 5,000 of them, each with that of
the benign twin, and ASR under unseen triggers of the kind. With names it computes only these and keeps other lines.
"""

import sys
from typing import Any

import pandas as pd
from intertwine.analysis.runs.run import load_run
from intertwine.checkpoints.shipped import index, resolve
from intertwine.training.provenance import provenance

from .. import TABLES
from .rates import bank_order, by_other_evaluators, under_unseen_triggers

TABLE = TABLES / "zoo_rates.csv"


def main() -> None:
    data_of_cifar, *chosen = sys.argv[1:]
    before = pd.read_csv(TABLE, dtype=str) if chosen else pd.DataFrame({"name": []})
    lines: list[Any] = before[~before["name"].isin(chosen)].to_dict("records")
    for name, entry in index().items():
        if not entry["benign"] or (chosen and name not in chosen):
            continue
        # All images, and not those that ship.
        data = data_of_cifar if entry["data"].startswith("imagefolder:") else entry["data"]
        run, benign = (load_run(resolve(f"zoo:{n}"), data=data, device="cpu") for n in (name, entry["benign"]))
        order = bank_order(run.experiment)
        found, twin = (by_other_evaluators(r.encoder, run.experiment, order) for r in (run, benign))
        found |= {f"{rate}_benign": value for rate, value in twin.items()}
        found |= under_unseen_triggers(run.encoder, run.experiment)
        made = {key: provenance()[key] for key in ("machine", "commit")}
        lines.append({"name": name, **{rate: f"{value:.4f}" for rate, value in found.items()}, **made})
        print(lines[-1], flush=True)
    pd.DataFrame(lines).sort_values("name").to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
