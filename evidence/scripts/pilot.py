"""Which recipe lets a contrastive clean-label backdoor take? Pilot runs, with seeds that no study uses.

    python -m evidence.scripts.pilot PRESET FOLDER ARM SEED [FIELD=VALUE …]

trains the arm and its benign twin below FOLDER, and adds lines to ``pilot.csv``, one a snapshot: ACC, ASR and R-Acc by
kNN, ridge probe and native head beside the twin's at the same epoch, ASR on either half of the test images, and the
class that most triggered images go to.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from intertwine.analysis.runs.run import Run, load_run, native_head
from intertwine.checkpoints.store import load_snapshot, snapshot_epochs
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES
from intertwine.representations.evaluators import EVALUATORS, success_rates
from intertwine.representations.seeds import generator
from intertwine.training.arms import ARMS
from intertwine.training.fit import fit
from intertwine.training.provenance import provenance
from intertwine.training.recipe import Recipe, read_recipe
from torch import Tensor

from .. import TABLES

TABLE = TABLES / "pilot.csv"
BANK = 5000
WARM = "start=twin"
"""In place of a field: begin with the benign twin, and compare with it as it is at its end."""
READERS = (*EVALUATORS, "native")
TRIGGER = (
    "target",
    "trigger",
    "strength",
    "test_strength",
    "trigger_frequency",
    "trigger_wave",
    "poison_fraction",
    "pair_share",
)


def main() -> None:
    preset, out, arm, seed, *fields = sys.argv[1:]
    warm = WARM in fields
    torch.set_num_threads(1)
    recipe = read_recipe(preset, arm=arm, seed=seed, **dict(field.split("=", 1) for field in fields if field != WARM))
    plain = {f: recipe.__dataclass_fields__[f].default for f in TRIGGER}  # which train no benign encoder
    clean = recipe.replace(arm=ARMS[arm].benign, **plain)
    first = fit(clean, folder_of(clean, Path(out)))
    poisoned = fit(recipe, folder_of(recipe, Path(out), warm=warm), start=first if warm else None)
    benign, run = (load_run(folder, device="cpu") for folder in (first, poisoned))
    lines = []
    last = recipe.epochs
    for epoch in (e for e in snapshot_epochs(run.checkpoint.path) if e >= last / 5):
        found, twin = rates(run, epoch, run), rates(benign, last if warm else epoch, run)
        twin = {f"{name}_twin": value for name, value in twin.items() if name.startswith(("asr", "r_acc", "acc"))}
        lines.append({"arm": arm, "seed": seed, "fields": " ".join(sorted(fields)), "epoch": epoch, **found, **twin})
        shown = (
            "seed",
            "fields",
            "epoch",
            "acc_knn",
            "r_acc_knn",
            "mostly",
            *(f"asr_{e}{t}" for e in READERS for t in ("", "_twin")),
        )
        print(" ".join(f"{v:.2f}" if isinstance(v := lines[-1][k], float) else str(v) for k in shown), flush=True)
    made = {key: provenance()[key] for key in ("machine", "commit")}
    keep(pd.DataFrame(lines).assign(recipe=preset, **made).round(4))


def keep(found: pd.DataFrame) -> None:
    """Add the lines, in place of earlier ones of the same run."""
    key = ["recipe", "arm", "seed", "fields"]
    if TABLE.exists():
        before = pd.read_csv(TABLE, dtype={"seed": str}, keep_default_na=False)
        same = before[key].astype(str).agg("|".join, axis=1) == "|".join(map(str, found[key].iloc[0]))
        found = pd.concat([before[~same], found])
    found.to_csv(TABLE, index=False)


def folder_of(recipe: Recipe, out: Path, *, warm: bool = False) -> Path:
    name = hashlib.sha256(repr((warm, sorted(recipe.to_dict().items()))).encode()).hexdigest()[:12]
    return out / recipe.arm / name


def rates(run: Run, epoch: int, victim: Run) -> dict[str, float | str]:
    """Rates of a snapshot by every evaluator, ASR also on the even and the odd test images alone."""
    e = victim.experiment
    encoder = load_snapshot(run.checkpoint, epoch)[0].eval()
    same = run is victim
    head = native_head(run, epoch, victim=None if same else victim)

    def features(images: Tensor, transform: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return capture(encoder, images, layers=[FEATURES], transform=transform)[FEATURES]

    chosen = torch.randperm(len(e.train), generator=generator(e.recipe.seed, "bank-images"))[:BANK]
    bank, labels = features(e.train.images[chosen]), e.train.labels[chosen]
    clean, triggered = features(e.test.images), features(e.test.images, e.test_trigger)
    found: dict[str, float | str] = {}
    half = torch.arange((e.test.labels != e.plan.target).sum()) % 2 == 0
    for name in READERS:
        on = [head(x).argmax(1) if name == "native" else EVALUATORS[name](x, bank, labels) for x in (clean, triggered)]
        values = success_rates(on[0], on[1], e.test.labels, e.plan.target)
        found |= {f"acc_{name}": float(values.acc.mean()), f"r_acc_{name}": float(values.r_acc.mean())}
        found |= {f"asr_{name}": float(values.asr.mean())}
        found |= {
            f"asr_{name}_even": float(values.asr[half].mean()),
            f"asr_{name}_odd": float(values.asr[~half].mean()),
        }
        if name == "knn":
            others = e.test.labels != e.plan.target
            counts = torch.bincount(on[1][others], minlength=len(e.train.classes))
            found |= {
                "mostly": e.train.classes[int(counts.argmax())],
                "mostly_share": float(counts.max() / counts.sum()),
            }
    return found


if __name__ == "__main__":
    main()
