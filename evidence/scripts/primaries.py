"""The primaries of the zoo's encoders, with both ends: exploratory, since the encoders were seen before.

    python -m evidence.scripts.primaries [--data imagefolder:PATH] [--data-root PATH] [NAME …]

measures encoders of the zoo (all whose data are at hand), and writes ``primaries.csv``. Lines of other encoders stay.
"""

import argparse
import time

import pandas as pd
import torch
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.panel.evaluation_data import evaluation_data
from intertwine.analysis.panel.readings.interventions import intervention_readings
from intertwine.analysis.results.measures import PRIMARY
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import Run, load_run, native_head
from intertwine.analysis.runs.zoo import benign_in_zoo
from intertwine.checkpoints.shipped import PREFIX, index
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES
from intertwine.representations.evaluators import is_hit
from intertwine.training.provenance import provenance
from intertwine.training.sources import at_hand
from torch import Tensor

from .. import TABLES

TABLE = TABLES / "primaries.csv"
READINGS = (*PRIMARY, "mediation", "neighbour_mixing")
TIMED = {"mediation": ("mediation", "mediation_excess"), "collateral": ("collateral",)}
KEPT = ["name", "arm", "layer", "subset", "measure", "reference", "evaluator", "value", "ci_low", "ci_high"]
KEPT += ["n", "d", "status", "note"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data")
    parser.add_argument("--data-root")
    options = parser.parse_args()
    entries = index()
    for name in options.names or entries:
        source = entries[name]["data"]
        source = options.data if options.data and source.startswith("imagefolder:") else source
        if not at_hand(source, options.data_root):
            print(f"{name}: {source} is not at hand", flush=True)
            continue
        keep(measured(name, source, options.data_root))


def measured(name: str, source: str, data_root: str | None) -> pd.DataFrame:
    """Rows of one encoder, with the seconds that they took; under SIG also the seconds of M and K at all layers."""
    twin = benign_in_zoo(PREFIX + name)
    run = load_run(PREFIX + name, data=source, data_root=data_root)
    benign = load_run(twin, data=source, data_root=data_root) if twin else None
    took: dict[str, tuple[float, float]] = {}
    if "-sig-" in name:
        took = interventions_alone(run)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = measure_run(run, benign, PanelOptions(READINGS, layers=[FEATURES], random_triggers=0))
    took["all"] = time.perf_counter() - wall, time.process_time() - cpu
    rows = rows[(rows["kind"] == "reading") & ~rows["reference"].isin(["raw-pixels"])].assign(name=name)
    made = provenance()
    spent = " ".join(f"{what} {seconds[0]:.1f} s ({seconds[1]:.1f} CPU s)" for what, seconds in took.items())
    print(f"{name}: {spent}; {torch.get_num_threads()} threads; {made['machine']}", flush=True)
    nothing = float("nan"), float("nan")
    seconds = {what: took.get(what, nothing) for what in ("all", *TIMED)}
    return rows[KEPT].assign(
        **{f"{what}_{kind}": round(s[i], 1) for what, s in seconds.items() for i, kind in enumerate(("wall", "cpu"))}
    )


def interventions_alone(run: Run) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of mediation and of collateral by themselves, at all layers."""
    e, head = run.experiment, native_head(run)
    on, options = (e.test.images, e.test.labels, e.test_trigger, e.plan.target), PanelOptions(seed=e.recipe.seed)
    data = evaluation_data(*on, options, bank=(e.train.images, e.train.labels))

    def predict(features: Tensor) -> Tensor:
        return head(features).argmax(1)

    without, with_it = (
        predict(capture(run.encoder, data.images, layers=[FEATURES], transform=trigger)[FEATURES])
        for trigger in (None, data.trigger)
    )
    hits, took = is_hit(without, with_it, data.classes, data.target), {}
    for what, readings in TIMED.items():
        wall, cpu = time.perf_counter(), time.process_time()
        intervention_readings(run.encoder, run.encoder.layers, data, hits, predict, 0.0, readings)
        took[what] = time.perf_counter() - wall, time.process_time() - cpu
    return took


def keep(found: pd.DataFrame) -> None:
    table = pd.read_csv(TABLE, keep_default_na=False, na_values=["nan", ""]) if TABLE.exists() else found.head(0)
    table = table[table["name"] != found["name"].iloc[0]]
    parts = [part for part in (table, found) if len(part)]
    pd.concat(parts).to_csv(TABLE, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
