"""What other evaluators, and triggers that were not trained, make of the zoo's poisoned encoders.

    python docs/evidence/zoo_rates.py imagefolder:data/cifar10 [NAME …]

writes ``zoo_rates.csv`` beside this file: ASR by the ridge probe on all training images and by kNN on 5,000 of them,
drawn as ``intertwine measure`` draws its bank, each with that of the clean twin; and ASR by kNN on all of them, and by
the ridge probe, under triggers of the kind that nobody was trained on (the mean of several). With names, only of these;
the lines of others stay.
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.runs.run import load_run
from intertwine.checkpoints.shipped import index, resolve
from intertwine.representations.seeds import generator
from intertwine.training.provenance import provenance
from prototype import of_others
from search import other_evaluators

TABLE = Path(__file__).parent / "zoo_rates.csv"


def main() -> None:
    data_of_cifar, *chosen = sys.argv[1:]
    kept = pd.read_csv(TABLE, dtype=str) if chosen else pd.DataFrame({"name": []})
    lines = kept[~kept["name"].isin(chosen)].to_dict("records")
    for name, entry in index().items():
        if not entry["benign"] or (chosen and name not in chosen):
            continue
        data = data_of_cifar if entry["data"].startswith("imagefolder:") else None
        run, benign = (load_run(resolve(f"zoo:{n}"), data=data, device="cpu") for n in (name, entry["benign"]))
        e = run.experiment
        order = torch.randperm(len(e.train), generator=generator(e.recipe.seed, "bank-images"))
        found = other_evaluators(run.encoder, e, order)
        found |= {f"{rate}_floor": value for rate, value in other_evaluators(benign.encoder, e, order).items()}
        found |= of_others(run.encoder, e)
        made = {key: provenance()[key] for key in ("machine", "commit")}
        lines.append({"name": name, **{rate: f"{value:.4f}" for rate, value in found.items()}, **made})
        print(lines[-1], flush=True)
    pd.DataFrame(lines).sort_values("name").to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
