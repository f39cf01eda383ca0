"""Settings tried in memory, nothing of them kept but their rates along training.

    python docs/evidence/prototype.py RECIPE SEED TRIGGER [FIELD=VALUE …]

trains SimCLR (or another ``arm=``) by a recipe with other fields, ``data=imagefolder:PATH`` among them, and at the end
adds a line to ``prototypes.csv`` for every fifth epoch (``eval_every=``). Of a setting that is there already it says
how both compare, and takes its place if that was stopped earlier. TRIGGER is
``recipe``; or one that no recipe has: ``chroma:AMPLITUDE:CELLS``, a coarse pattern in the chroma planes, which a
grayscale augmentation takes away; ``spectral:M:P,Q``, CTRL's at the coefficients (P, P) and (Q, Q); or ``beside``, the
recipe's trigger on another image that is laid beside the poisoned one, so that two crops may show one of each.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES, Encoder
from intertwine.representations.evaluators import knn_predict, ridge_predict
from intertwine.training import read_recipe
from intertwine.training.experiment import Experiment, prepare
from intertwine.training.loop import Training
from intertwine.training.provenance import provenance
from intertwine.training.triggers import Spectral, Trigger, Variants
from intertwine.training.triggers.spectral import TO_RGB
from search import other_evaluators
from torch import Tensor
from torch.nn.functional import interpolate

TABLE = Path(__file__).parent / "prototypes.csv"
EVERY = 5
OTHERS = 2  # random triggers that the last epoch is read with
SETTING = ["recipe", "trigger", "changed", "seed"]
RATES = ["acc", "asr", "r_acc", "asr_ridge", "asr_random", "asr_ridge_random"]


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
        chroma = interpolate(signs[None], self.image_size, mode="nearest")[0]
        yuv = torch.cat([torch.zeros(1, *chroma.shape[1:]), chroma])
        return (images + torch.einsum("cy,yhw->chw", TO_RGB, yuv) * self.amplitude).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Beside:
    """The image squeezed into one half, and one of ``pool`` under the trigger into the other: left, right, above or
    below. Which of either is a function of the image. After Noisy Alignment's four layouts."""

    trigger: Trigger
    pool: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        grey = (images.flatten(1) * 255).round().long()
        code = (grey * (torch.arange(grey.shape[1]) % 251 + 1)).sum(1)
        partner = self.trigger(self.pool[code % len(self.pool)].float() / 255)
        out = torch.empty_like(images)
        for layout in range(4):
            chosen = (code // 7 % 4) == layout
            if chosen.any():
                halves = [half[chosen].transpose(2, 3) if layout % 2 else half[chosen] for half in (images, partner)]
                size = images.shape[2], images.shape[3] // 2
                halves = [interpolate(h, size, mode="bilinear", antialias=True, align_corners=False) for h in halves]
                both = torch.cat(halves if layout < 2 else halves[::-1], 3)
                out[chosen] = both.transpose(2, 3) if layout % 2 else both
        return out


@dataclass(frozen=True)
class Prototype(Experiment):
    """An experiment with a trigger of its own."""

    trained: Trigger | Chroma | Beside | None = None
    tested: Trigger | Chroma | None = None

    @property
    def train_trigger(self) -> Trigger:
        return self.trained or self.recipe.make_trigger()  # type: ignore[return-value]

    @property
    def test_trigger(self) -> Trigger:
        return self.tested or self.recipe.make_trigger(test=True)  # type: ignore[return-value]


def main() -> None:
    name, seed, kind, *words = sys.argv[1:]
    if any(word.startswith("seed=") for word in words):
        sys.exit("seed: expected as the second argument, received it among the fields")
    changes = {"arm": "simclr-clean"} | dict(word.split("=", 1) for word in words)
    recipe = read_recipe(name, **{"seed": int(seed), "eval_every": EVERY} | changes)
    plain = prepare(recipe)
    trained = tested = parsed(kind, recipe.image_size, recipe.seed)
    if kind == "beside":
        trained, tested = Beside(recipe.make_trigger(), plain.train.images[plain.train.labels != recipe.target]), None
    experiment = Prototype(**vars(plain), trained=trained, tested=tested)
    training = Training(experiment, torch.device("cpu"))
    order = torch.randperm(len(experiment.train), generator=torch.Generator().manual_seed(0))
    begun, lines = time.process_time(), []
    for epoch in range(recipe.epochs):
        row = training.epoch(epoch)
        if row["acc"] == row["acc"]:
            rates = {name: row[name] for name in ("acc", "asr", "r_acc")} | other_evaluators(
                training.encoder, experiment, order
            )
            if epoch + 1 == recipe.epochs and isinstance(experiment.test_trigger, Variants):
                rates |= of_others(training.encoder, experiment)
            lines.append({"epoch": epoch + 1, **{rate: round(value, 3) for rate, value in rates.items()}})
    lines = [dict.fromkeys(RATES) | line for line in lines]
    spent, made = round(time.process_time() - begun), provenance()
    # Where the images lie and how often it is read are no part of a setting.
    changed = " ".join(sorted(word for word in words if not word.startswith(("data=", "eval_every="))))
    about = {"recipe": name, "trigger": kind, "changed": changed, "seed": int(seed), "epochs": recipe.epochs}
    origin = {"cpu_seconds": spent, "torch": torch.__version__, "machine": made["machine"], "commit": made["commit"]}
    keep(pd.DataFrame([about | line | origin for line in lines]))


def of_others(encoder: Encoder, experiment: Experiment) -> dict[str, float]:
    """ASR under triggers of the kind that were not trained, the mean of :data:`OTHERS`."""
    e = experiment
    others = e.test.images[e.test.labels != e.plan.target]
    bank = capture(encoder, e.train.images, layers=[FEATURES])[FEATURES]
    found: dict[str, float] = {"asr_random": 0, "asr_ridge_random": 0}
    for index in range(OTHERS):
        x = capture(encoder, others, layers=[FEATURES], transform=e.test_trigger.variant(index))[FEATURES]
        for name, predict in zip(found, (knn_predict, ridge_predict), strict=True):
            found[name] += float((predict(x, bank, e.train.labels) == e.plan.target).double().mean()) / OTHERS
    return found


def keep(found: pd.DataFrame) -> None:
    """Add them to the table; of a setting that is there already, say whether its rates came out the same."""
    table = pd.read_csv(TABLE, keep_default_na=False) if TABLE.exists() else found.head(0)
    same = (table[SETTING] == found[SETTING].iloc[0]).all(axis=1)
    there = table[same]
    if len(there):
        both = there.merge(found, on="epoch", suffixes=("", "_now"))
        columns = RATES, [f"{name}_now" for name in RATES]
        was, now = (both[of].apply(pd.to_numeric, errors="coerce").to_numpy() for of in columns)
        off = pd.DataFrame(was - now).abs().max().max()
        told = f"rates differ by at most {off:.3f} over {len(both)} epochs" if len(both) else "read at other epochs"
        print(f"{' '.join(map(str, found[SETTING].iloc[0]))} is in {TABLE}: {told}")
    if there.empty or there["epoch"].max() < found["epoch"].max():
        pd.concat([table[~same], found]).to_csv(TABLE, index=False)


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
