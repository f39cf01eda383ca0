"""Published numbers, and which of ours stand beside them.

``external.csv`` holds the published ones with their protocols, and in ``ours`` where the row of ours is that stands
beside each: ``objectives:ARM:EVALUATOR``, ``attacks:PRESET/ARM:MEASURE``, ``study:NAME/ARM:MEASURE``,
``full:PART/ARM:MEASURE``,
``detection:PRESET/ARM/DEFENCE:MEASURE`` or ``mitigation:…``; where it is empty, nothing of ours does.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from intertwine.analysis.defences.outcomes import detections, mitigations
from intertwine.analysis.results.schema import DEFAULT_EVALUATOR
from intertwine.analysis.results.table import final_rows, find_table, parse_params, read_rows, select
from intertwine.representations.encoders import FEATURES
from intertwine.training.arms import ARMS
from intertwine.training.recipe import read_recipe

HERE = Path(__file__).parent
DOCS = HERE.parent
IN_PLACE = {
    "objectives": "10,000 images of CIFAR-10 (JPEG re-encoded), 20 epochs, ResNet-8 of width 16, kNN or ridge probe",
    "attacks": "digits at 16×16, ResNet-8 of width 12, 40 epochs, weighted kNN",
    "study": "digits at 16×16, ResNet-8 of width 12, 40 epochs, weighted kNN",
    "full": "CIFAR-10 (JPEG re-encoded), 32×32, ResNet-18 and projector of half the width, CTRL's official recipe but "
    "for bf16 and the number of epochs, weighted kNN at the end",
    "detection": "digits at 16×16, ResNet-8 of width 12, 40 epochs; ABL isolates 12 images of some 60 poisons",
    "mitigation": "digits at 16×16, ResNet-8 of width 12, weighted kNN, a tenth of the data known to be clean",
}
"""What ours were made with, in place of the published protocol."""
OPPOSITE = ("ASR", "TPR")
"""Of these, ours and theirs on different sides of a half are opposite outcomes."""
BOUNDED = ("ABL", "TPR")
"""No outcome: it isolates a fifth of our poisons at most, whatever it sees."""
FULL = "docs/evidence/full-rows.csv"
OF_THE_DATA = ("ACC", "R-Acc")
"""What other data alone decide."""


@dataclass(frozen=True)
class Ours:
    """value: a share. spread: of seeds, or of test images. beside: what stands beside it, as text. of: arm, attack,
    seeds. where: hardware and commit. benign twin: that of the clean encoder, where it is one number."""

    value: float
    spread: tuple[float, float]
    of: str
    where: str
    beside: str = ""
    benign: float | None = None


@cache
def external() -> pd.DataFrame:
    return pd.read_csv(HERE / "external.csv", keep_default_na=False)


@cache
def origins() -> pd.DataFrame:
    """Hardware, and the commit that holds the table, of runs that were made before runs said so themselves."""
    return pd.read_csv(HERE / "origins.csv", keep_default_na=False).set_index("table")


def origin(table: str) -> str:
    hardware, commit = origins().loc[table, ["hardware", "table committed in"]]
    return f"{hardware}; table of {commit}"


def short(commit: str) -> str:
    """Seven digits, and whether files differed from it."""
    return commit[:7] + "+changes" * commit.endswith("+changes")


def said(run: dict[str, Any], study: str) -> str:
    """Hardware and commit of a run; of those made before runs said so, as it was written down."""
    if run.get("commit"):
        return f"{run['machine']}, torch {run['torch'].partition('+')[0]}; {short(run['commit'])}"
    return origin(f"docs/studies/{study}")


def ours(row: Any) -> Ours:
    kind, place, measure = row.ours.split(":")
    return OURS[kind](place, measure)


def beside(row: Any) -> dict[str, str]:
    """A published number and ours, as a line of the page."""
    own = ours(row)
    low, high = (f"{100 * v:.1f}" for v in own.spread)
    other_data = row.metric in OF_THE_DATA and not row.ours.startswith(("objectives", "full"))
    return {
        "number": f"{row.what}: {row.metric}",
        **{"theirs": f"{row.value:g}", "ours": f"{100 * own.value:.1f} [{low}, {high}]{own.beside}"},
        "difference": "–" if other_data else f"{100 * own.value - row.value:+.1f}",
        **{"recipe, arm, attack and seeds of ours": own.of, "hardware; commit of ours": own.where},
    }


def opposite(row: Any) -> bool:
    """Whether ours came out the other way: an attack that took, or did not; a defence that worked, or did not."""
    return is_outcome(row) and (ours(row).value > 0.5) != (row.value > 50)


def is_outcome(row: Any) -> bool:
    return row.metric in OPPOSITE and (row.what, row.metric) != BOUNDED


def attack_of(preset: str) -> str:
    """What a preset poisons with: two attacks of one name may differ in this."""
    r = read_recipe(preset)
    strength = "" if r.strength is None else f" {r.strength:g}"
    what = {
        "spectral": f"CTRL's frequencies in {r.trigger_band}, m ={strength}",
        **{"blend": f"blend, α ={strength}", "patch": f"patch of {r.trigger_size}×{r.trigger_size}"},
        **{"sinusoid": f"sinusoid, Δ ={strength}", "warp": f"warp, s ={strength}"},
    }[r.trigger]
    share = "half" if r.poison_fraction == 0.5 else f"{r.poison_fraction:g}"
    return f"{what.removesuffix(' =')}, {share} of the class's size"


def _objective(arm: str, evaluator: str) -> Ours:
    table = "docs/training/objectives.csv"
    rows = select(read_rows(DOCS.parent / table), arm=arm, measure="acc", reference="", layer="features", run_b="")
    row = _by(rows, evaluator)
    return Ours(row.value, (row.ci_low, row.ci_high), f"cifar10-small-cpu, {arm}; seed 0", origin(table))


def _attack(run: str, measure: str) -> Ours:
    table = "docs/training/attacks.csv"
    rows = select(read_rows(DOCS.parent / table), run=f"{run}/seed0", measure=measure)
    row = _by(rows[rows["reference"] == ""], "knn")
    preset, _, arm = run.partition("/")
    references = ""
    if measure == "asr":
        benign, other = (_by(rows[rows["reference"] == r], "knn").value for r in ("benign", "random-trigger"))
        references = f"; benign twin {100 * benign:.1f}, random trigger {100 * other:.1f}"
    of = f"{preset}, {arm}: {attack_of(preset)}; seed 0"
    return Ours(row.value, (row.ci_low, row.ci_high), of, origin(table), references)


def _study(place: str, measure: str) -> Ours:
    """Mean over the seeds of a finished study."""
    name, _, arm = place.partition("/")
    folder = DOCS / "studies" / name
    rows = final_rows(read_rows(find_table(folder, "rows.csv")))
    rows = rows[(rows["measure"] == measure) & (rows["arm"] == arm) & (rows["layer"] == FEATURES)]
    rows = rows[rows["params"].map(lambda p: parse_params(p).get("evaluator")) == DEFAULT_EVALUATOR]
    rates = rows.pivot_table(index="seed", columns="reference", values="value")
    mean, own = 100 * rates.mean(), rates[""]
    told = (
        f"; benign twin {mean['benign']:.1f}, random trigger {mean['random-trigger']:.1f}" if measure == "asr" else ""
    )
    preset = json.loads((folder / "recipe.json").read_text())["name"]
    seeds = ", ".join(map(str, own.index))
    runs = pd.read_csv(find_table(folder, "runs.csv"), keep_default_na=False).to_dict("records")
    where = " / ".join(dict.fromkeys(said(run, name) for run in runs))
    of = f"{preset}, {arm}: {attack_of(preset)}; seeds {seeds}"
    return Ours(own.mean(), (own.min(), own.max()), of, where, told)


def trained_on_gpu(part: str, seed: int = 0) -> pd.DataFrame:
    """The lines of ``full.csv`` of one set of arms."""
    runs = pd.read_csv(HERE / "full.csv")
    return runs[(runs["part"] == part) & (runs["seed"] == seed)]


def _full(place: str, measure: str) -> Ours:
    """Measured at home from the poisoned arm of the part, and from its benign twin, the clean arm."""
    part, _, arm = place.partition("/")
    rows = read_rows(DOCS.parent / FULL)
    seed, is_benign = 0, ARMS[arm].benign == arm
    column = "run_b" if is_benign else "run"
    chosen = rows[(rows["measure"] == measure) & (rows[column] == f"{arm}/seed{seed}")]
    row = _by(chosen[chosen["reference"] == ("benign" if is_benign else "")], "knn")
    benign = None if is_benign else _by(chosen[chosen["reference"] == "benign"], "knn").value
    runs = trained_on_gpu(part, seed)
    run = runs[runs["arm"] == arm].iloc[-1]
    of = f"{run['recipe']}, {arm}, width {run['width']}, {run['epochs']} epochs; seed {seed}"
    where = f"trained on {run['machine']}, torch {run['torch']}; {short(run['commit'])}; read: {origin(FULL)}"
    told = f"; benign twin {100 * benign:.1f}" if benign is not None and measure.startswith("asr") else ""
    return Ours(row.value, (row.ci_low, row.ci_high), of, where, told, benign)


def _by(rows: pd.DataFrame, evaluator: str) -> Any:
    chosen = rows[rows["params"].map(lambda p: parse_params(p).get("evaluator")) == evaluator]
    if len(chosen) != 1:
        raise ValueError(f"expected one row by {evaluator}, received {len(chosen)}")
    return chosen.iloc[0]


@cache
def _defended(kind: str) -> pd.DataFrame:
    rows = read_rows(find_table(DOCS / "studies" / "defences", "defences.csv"))
    return detections(rows) if kind == "detection" else mitigations(rows)


def _defence(kind: str, place: str, measure: str) -> Ours:
    preset, arm, name = place.split("/")
    table = _defended(kind)
    table = table[(table["recipe"] == preset) & (table["arm"] == arm) & (table["defence"] == name)]
    if kind == "detection":
        table = table[table["labels"].isin(["given", ""])]
    # Of several shares of poison the one that stands for half of the class's size: of relabelled poisons a third.
    table = table[table["share"] == (0.3 if arm == "supervised-dirty" else 0.5)].dropna(subset=measure)
    values = table[measure]
    benign = f"; benign twin {100 * table['benign_asr'].mean():.1f}" if measure == "asr" else ""
    seeds = ", ".join(str(int(s)) for s in sorted(table["seed"]))
    of = f"{preset}, {arm}: {attack_of(preset)}; seeds {seeds}"
    return Ours(values.mean(), (values.min(), values.max()), of, origin("docs/studies/defences"), benign)


OURS = {
    "objectives": _objective,
    "attacks": _attack,
    "study": _study,
    "full": _full,
    "detection": lambda place, measure: _defence("detection", place, measure),
    "mitigation": lambda place, measure: _defence("mitigation", place, measure),
}
