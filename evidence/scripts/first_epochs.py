"""The first epochs of a training at full width, beside a third party's two logs.

    python -m evidence.scripts.first_epochs imagefolder:data/cifar10 EPOCHS

trains SimCLR as the second log of ``ctrl_logs.csv`` and the code beside it prescribe: ResNet-18, batch 512, τ = .2,
SupCon's scale of the loss, no BatchNorm in the head, ten epochs of warm-up from rate 0, the first 500 images of class 0
under CTRL's trigger, m = 50. Writes ``first_epochs.csv``: the loss of each epoch, ours and that of both logs. A CPU
takes ten minutes or more an epoch. These differ: JPEG, bf16, our augmentation for torchvision's, normalisation by .5
and .25 for ImageNet's, the last short batch (we leave it out), and the seed.
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

TABLE = TABLES / "first_epochs.csv"
THEIRS = {
    "first": (19.592, 15.503, 13.138, 12.228, 11.591, 11.231),
    "second": (19.566, 15.115, 12.823, 11.915, 11.387, 11.032),
}
"""Losses of the two logs (github.com/SWY666/CTRL_correctness), epochs 1 to 6."""


def main() -> None:
    data, epochs = sys.argv[1], int(sys.argv[2])
    recipe = read_recipe("cifar10-ctrl-official").replace(
        **{"data": data, "arm": "simclr-clean", "precision": "bf16", "eval_every": 1000},
        **{"temperature": 0.2, "loss_scale": 0.2 / 0.07, "jitter_coin": "image", "normalise": True},
        **{"strength": 50.0, "test_strength": 100.0, "epochs": 1000, "warmup": 0.01},
    )
    training = Training(prepare(recipe), torch.device("cpu"))
    made = {"torch": torch.__version__, **{key: provenance()[key] for key in ("machine", "commit")}}
    lines, begun = [], time.process_time()
    for epoch in range(epochs):
        row = training.epoch(epoch)
        line = {"epoch": epoch + 1, "lr": row["lr"], "loss": recipe.loss_scale * row["loss"]}
        line |= {log: losses[epoch] for log, losses in THEIRS.items()}
        lines.append(line | {"cpu_seconds": round(time.process_time() - begun), **made})
        print(lines[-1], flush=True)
        pd.DataFrame(lines).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
