"""The primaries of the zoo's encoders, with both ends: exploratory, since the encoders were seen before.

    python -m evidence.scripts.primaries [--data imagefolder:PATH] [--data-root PATH] [NAME …]

measures encoders of the zoo (all whose data are at hand), and writes ``primaries.csv``. Lines of other encoders stay.
"""

import argparse
import time

import pandas as pd
import torch
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.results.measures import PRIMARY
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.zoo import benign_in_zoo
from intertwine.checkpoints.shipped import PREFIX, index
from intertwine.representations.encoders import FEATURES
from intertwine.training.provenance import provenance
from intertwine.training.sources import at_hand

from .. import TABLES

TABLE = TABLES / "primaries.csv"
READINGS = (*PRIMARY, "mediation", "neighbour_mixing", "benign_step_effect", "backdoor_step_effect")
TIMED = {"mediation": "mediation,mediation_excess", "collateral": "collateral"}
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
    """Rows of one encoder, with the seconds that they took; under SIG also mediation and collateral by themselves."""
    twin = benign_in_zoo(PREFIX + name)
    run, benign = (
        load_run(PREFIX + n, data=source, data_root=data_root) if n else None for n in (name, twin and name_of(twin))
    )
    assert run is not None
    wall, cpu = time.perf_counter(), time.process_time()
    rows = measure_run(run, benign, PanelOptions(READINGS, layers=[FEATURES], random_triggers=0))
    took = {"all": (time.perf_counter() - wall, time.process_time() - cpu)}
    for what, readings in TIMED.items() if "-sig-" in name else ():
        wall, cpu = time.perf_counter(), time.process_time()
        measure_run(run, benign, PanelOptions(readings, random_triggers=0))
        took[what] = time.perf_counter() - wall, time.process_time() - cpu
    rows = rows[(rows["kind"] == "reading") & ~rows["reference"].isin(["raw-pixels"])].assign(name=name)
    made = provenance()
    spent = " ".join(f"{what} {seconds[0]:.1f} s ({seconds[1]:.1f} CPU s)" for what, seconds in took.items())
    print(f"{name}: {spent}; {torch.get_num_threads()} threads; {made['machine']}", flush=True)
    nothing = float("nan"), float("nan")
    seconds = {what: took.get(what, nothing) for what in ("all", *TIMED)}
    return rows[KEPT].assign(
        **{f"{what}_{kind}": round(s[i], 1) for what, s in seconds.items() for i, kind in enumerate(("wall", "cpu"))}
    )


def name_of(path: str) -> str:
    return path.removeprefix(PREFIX)


def keep(found: pd.DataFrame) -> None:
    table = pd.read_csv(TABLE, keep_default_na=False, na_values=["nan", ""]) if TABLE.exists() else found.head(0)
    table = table[table["name"] != found["name"].iloc[0]]
    parts = [part for part in (table, found) if len(part)]
    pd.concat(parts).to_csv(TABLE, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
