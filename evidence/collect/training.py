"""Does every objective learn, and does every attack work? From rows of one seed."""

import pandas as pd
from intertwine.analysis.results.schema import BACKDOORED
from intertwine.analysis.results.table import read_rows, select
from intertwine.training.recipe import read_recipe

from .. import TABLES
from .form import number, read, with_interval

GAIN = 0.08
"""An objective learns if its ACC exceeds those of random weights and raw pixels by this much."""
ATTACKS = {
    "digits-badnets": "BadNets",
    "digits-demo": "Blended",
    "digits-sig": "SIG",
    "digits-wanet": "WaNet",
    "digits-ctrl": "CTRL, in luma",
    "digits-sslbackdoor": "SSLBackdoor",
    "digits-badencoder": "BadEncoder",
}


def objectives() -> pd.DataFrame:
    rows = read_rows(TABLES / "objectives.csv")
    lines = []
    for fit in read("objectives_fit").itertuples():
        acc = select(rows, arm=fit.arm, measure="acc", evaluator="knn").set_index("reference")
        own, (init, pixels) = acc.loc[""], acc.loc[["random-init", "raw-pixels"], "value"]
        gain = own["value"] - max(init, pixels)
        line = {"arm": fit.arm, "ACC (95 %)": with_interval(own["value"], own["ci_low"], own["ci_high"])}
        line |= {"random weights": number(init), "raw pixels": number(pixels), "gain": f"{gain:+.3f}"}
        line |= {"learns": "yes" if gain >= GAIN else "**no**", "feature sd": number(fit.feature_sd)}
        line |= {"effective rank": number(fit.effective_rank, 1), "projection sd": number(fit.projection_sd)}
        line |= {"collapsed": "**yes**" if fit.collapsed else "no"}
        lines.append(line | {"minutes wall, CPU": f"{fit.wall_minutes}, {fit.cpu_minutes}"})
    return pd.DataFrame(lines)


def attacks() -> pd.DataFrame:
    """The arm that a preset names is in bold."""
    rows, lines = select(read_rows(TABLES / "attacks.csv"), evaluator="knn", kind="reading"), []
    for run, of in rows.groupby("run", sort=False):
        preset, arm, _ = str(run).split("/")
        asr = select(of, measure="asr").set_index("reference")
        acc, r_acc = (select(of, measure=m, reference="")["value"].iloc[0] for m in ("acc", "r_acc"))
        own, (benign, unseen) = asr.loc[""], asr.loc[["benign", "random-trigger"], "value"]
        line = {"attack": ATTACKS[preset], "preset": f"`{preset}`"}
        line |= {"arm": f"**{arm}**" if arm == read_recipe(preset).arm else arm, "ACC": number(acc)}
        line |= {"ASR (95 %)": with_interval(own["value"], own["ci_low"], own["ci_high"])}
        line |= {"twin's ASR": number(benign), "unseen triggers": number(unseen), "R-Acc": number(r_acc)}
        lines.append(line | {"works": "yes" if own["value"] - benign >= BACKDOORED else "**no**"})
    return pd.DataFrame(lines)
