"""Settings tried on CIFAR-10 in memory, nothing of them kept but their rates along training.

    python docs/evidence/prototype.py imagefolder:PATH SEED TRIGGER [FIELD=VALUE …]

trains SimCLR by recipe ``cifar10-blend-cpu`` with other fields, and adds a line to ``prototypes.csv`` for every fifth
epoch, or says how it compares with what is there of the same setting. TRIGGER is ``recipe``; or one that no recipe
has: ``chroma:AMPLITUDE:CELLS``, a coarse pattern in the chroma planes, which a grayscale augmentation takes away, or
``spectral:M:P,Q``, CTRL's at the coefficients (P, P) and (Q, Q).
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from intertwine.training import read_recipe
from intertwine.training.experiment import Experiment, prepare
from intertwine.training.loop import Training
from intertwine.training.provenance import provenance
from intertwine.training.triggers import Spectral, Trigger
from intertwine.training.triggers.spectral import TO_RGB
from search import other_evaluators
from torch import Tensor

TABLE = Path(__file__).parent / "prototypes.csv"
EVERY = 5


@dataclass(frozen=True)
class Chroma:
    """Add ±``amplitude`` to U and V, in ``cells`` × ``cells`` squares of the image; clamp."""

    image_size: int
    amplitude: float
    cells: int
    seed: int

    def __call__(self, images: Tensor) -> Tensor:
        stream = torch.Generator().manual_seed(self.seed + 5)
        signs = (torch.rand(2, self.cells, self.cells, generator=stream) > 0.5).float() * 2 - 1
        chroma = torch.nn.functional.interpolate(signs[None], self.image_size, mode="nearest")[0]
        yuv = torch.cat([torch.zeros(1, *chroma.shape[1:]), chroma])
        return (images + torch.einsum("cy,yhw->chw", TO_RGB, yuv) * self.amplitude).clamp(0, 1)


@dataclass(frozen=True)
class Prototype(Experiment):
    """An experiment with a trigger of its own."""

    trigger: Trigger | Chroma | None = None

    @property
    def train_trigger(self) -> Trigger:
        return self.trigger or self.recipe.make_trigger()  # type: ignore[return-value]

    @property
    def test_trigger(self) -> Trigger:
        return self.train_trigger


def main() -> None:
    data, seed, trigger, *words = sys.argv[1:]
    changes = dict(word.split("=", 1) for word in words)
    fixed = {"data": data, "seed": int(seed), "arm": "contrastive", "eval_every": EVERY}
    recipe = read_recipe("cifar10-blend-cpu", **fixed, **changes)
    experiment = Prototype(**vars(prepare(recipe)), trigger=parsed(trigger, recipe.image_size, recipe.seed))
    training = Training(experiment, torch.device("cpu"))
    order = torch.randperm(len(experiment.train), generator=torch.Generator().manual_seed(0))
    begun, lines = time.process_time(), []
    for epoch in range(recipe.epochs):
        row = training.epoch(epoch)
        if row["acc"] == row["acc"]:
            rates = {name: row[name] for name in ("acc", "asr", "r_acc")} | other_evaluators(
                training.encoder, experiment, order
            )
            lines.append({"epoch": epoch + 1, **{name: round(rate, 3) for name, rate in rates.items()}})
    made = provenance()
    about = {"trigger": trigger, "changed": " ".join(words), "seed": int(seed), "epochs": recipe.epochs}
    spent, made = round(time.process_time() - begun), provenance()
    origin = {"cpu_seconds": spent, "torch": torch.__version__, "machine": made["machine"], "commit": made["commit"]}
    keep(pd.DataFrame([about | line | origin for line in lines]))


def keep(found: pd.DataFrame) -> None:
    """Add them to the table; of a setting that is there already, say whether its rates came out the same."""
    table = pd.read_csv(TABLE, keep_default_na=False) if TABLE.exists() else found.head(0)
    setting = ["trigger", "changed", "seed"]
    there = table[(table[setting] == found[setting].iloc[0]).all(axis=1)]
    if there.empty:
        pd.concat([table, found]).to_csv(TABLE, index=False)
        return
    both = there.merge(found, on="epoch", suffixes=("", "_now"))
    off = max((both[name] - both[f"{name}_now"]).abs().max() for name in ("acc", "asr", "r_acc"))
    print(f"{' '.join(map(str, found[setting].iloc[0]))} is in {TABLE}; rates differ from it by at most {off:.3f}")


def parsed(text: str, image_size: int, seed: int) -> Trigger | Chroma | None:
    kind, *parts = text.split(":")
    if kind == "chroma":
        return Chroma(image_size, float(parts[0]), int(parts[1]), seed)
    if kind == "spectral":
        places = tuple((int(p), int(p)) for p in parts[1].split(","))
        return Spectral(image_size, strength=float(parts[0]), positions=places)
    return None


if __name__ == "__main__":
    main()
