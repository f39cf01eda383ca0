"""What was tried and left: studies that were removed, and settings that were searched."""

import pandas as pd

from .. import TABLES
from .form import MISSING, between, made_by, number, with_interval

MARGIN, MOST_SECONDS = 0.3, 30 * 60
DECIDED_BY = {
    *("setting", "arm", "seed", "acc", "asr", "r_acc", "asr_ridge", "asr_knn_5000", "cpu_seconds"),
    *("torch", "machine", "commit"),
}
"""Columns of ``search.csv`` that are no part of a setting."""
EFFECTS = {"mixing": "neighbour_mixing", "alignment": "gradient_alignment", "AUROC": "auroc", "share of ASR": "removed"}


def removed() -> pd.DataFrame:
    """One line a contrast of the studies that were removed, with the effects that their rules judged."""
    table = pd.read_csv(TABLES / "removed_studies.csv", keep_default_na=False)
    lines = []
    for _, of in table.groupby(["study", "share", "claim", "arm", "against"], sort=False):
        row = of.iloc[0]
        tried = len(row["seeds"].split())
        effects = {e.measure: with_interval(e.effect, e.ci_low, e.ci_high) for e in of.itertuples()}
        titles = {measure: title for title, measure in EFFECTS.items()}
        told = "; ".join(f"{titles[m]} {effect}" for m, effect in effects.items() if effect != MISSING)
        twin = "benign twin" in row["against"]
        worked = f"{row['attack_worked']}" + ("" if twin else f" and {row['attack_worked_against']}")
        lines.append(
            {
                **{"study": row["study"], "share": row["share"], "claim": row["claim"], "arm": row["arm"]},
                "against": "its twin" if twin else row["against"],
                **{"attack worked": f"{worked} of {tried}", "effect": told or MISSING, "verdict then": row["verdict_then"]},
            }
        )
    return pd.DataFrame(lines)


def removed_studies() -> pd.DataFrame:
    """One line a study: data, trigger, seeds, and why it was removed."""
    table = pd.read_csv(TABLES / "removed_studies.csv", dtype=str).drop_duplicates("study")
    table["seeds"] = [f"{s.split()[0]} to {s.split()[-1]}" for s in table["seeds"]]
    names = {"evaluator": "decides", "removed_because": "removed because"}
    return table[["study", "data", "trigger", "seeds", *names]].rename(columns=names)


def settings() -> pd.DataFrame:
    """One line a setting of the search on CIFAR-10, over its seeds. ``worked``: of SimCLR's seeds those in which ASR
    exceeds the twin's by the margin; without a twin that is unknown, unless ASR itself is below the margin."""
    table = pd.read_csv(TABLES / "search.csv", keep_default_na=False, na_values={"cpu_seconds": ""})
    fields = [column for column in table.columns if column not in DECIDED_BY]
    lines = []
    for _, of in table.groupby(fields, sort=False):
        own = of[of["arm"] == "simclr-clean"].sort_values("seed").set_index("seed")
        twin = of[of["arm"] == "simclr-benign"].set_index("seed").reindex(own.index)
        first = own.iloc[0]
        lines.append(
            {
                **{"setting": first["setting"], "seeds": " ".join(map(str, own.index)), "trigger": trigger(first)},
                **{"share": f"{first['poison_fraction']:g}", "images": f"{first['n_train']:,}"},
                **{"size": first["image_size"], "epochs": first["epochs"], "τ": f"{first['temperature']:g}"},
                **{"ACC": between(own["acc"]), "ASR": between(own["asr"]), "twin's ASR": between(twin["asr"])},
                **{"ASR, ridge": between(own["asr_ridge"]), "worked": worked(own["asr"], twin["asr"])},
            }
        )
    return pd.DataFrame(lines)


def worked(asr: "pd.Series[float]", benign: "pd.Series[float]") -> str:
    unknown = int((benign.isna() & (asr >= MARGIN)).sum())  # a twin's ASR is at least 0
    count = int((asr - benign.fillna(1) >= MARGIN).sum())
    return f"{count} of {len(asr)}" + f", {unknown} without a twin" * bool(unknown)


def trigger(run: "pd.Series[object]") -> str:
    kind, strength = run["trigger"], f"{float(str(run['strength'])):g}"
    if kind == "spectral":
        return f"CTRL's in {run['trigger_band']}, m = {strength}"
    cells = f", {float(str(run['trigger_cells'])):g} cells a side" if run["trigger_cells"] else ""
    return f"blend, α = {strength}{cells}" + (f", {run['test_strength']} at test time" if run["test_strength"] else "")


def prototypes(recipe: str) -> pd.DataFrame:
    """One line a setting tried in memory from this recipe: the highest ASR along training, and the rates at the end,
    or where it was stopped."""
    table = pd.read_csv(TABLES / "prototypes.csv", keep_default_na=False)
    table = table[table["recipe"] == recipe]
    lines = []
    for (kind, changed, seed), of in table.groupby(["trigger", "changed", "seed"], sort=False):
        highest, last = of.loc[of["asr"].idxmax()], of.iloc[-1]
        stopped = "" if last["epoch"] == last["epochs"] else f"{last['epoch']} of "
        lines.append(
            {
                **{"trigger": kind, "changed": changed or MISSING, "seed": seed, "epochs": f"{stopped}{last['epochs']}"},
                "highest ASR (epoch)": f"{number(highest['asr'])} ({highest['epoch']})",
                **{"ASR": number(last["asr"]), "ASR, ridge": number(last["asr_ridge"]), "ACC": number(last["acc"])},
                **{"unseen triggers": number(last["asr_random"]), "machine; commit": made_by(last.drop("torch"))},
            }
        )
    return pd.DataFrame(lines)
