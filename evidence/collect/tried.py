"""What was tried and left: studies that were removed, and settings that were searched."""

import pandas as pd
from intertwine.analysis.reports.formatting import MISSING

from .form import between, made_by, number, read, with_interval

MARGIN = 0.3
RATES = {"asr", "asr_ridge", "asr_knn_5000", "acc", "r_acc"}
NO_FIELDS = RATES | {"setting", "arm", "seed", "cpu_seconds", "torch", "machine", "commit"}
"""Columns of ``search.csv`` that are no part of a setting."""
TITLES = {"neighbour_mixing": "mixing", "gradient_alignment": "alignment", "auroc": "AUROC", "removed": "share of ASR"}


def removed() -> pd.DataFrame:
    """One line a contrast of the studies that were removed, with the effects that their rules judged."""
    lines = []
    by = ["study", "share", "claim", "arm", "against"]
    for _, of in read("removed_studies", dtype=str).groupby(by, sort=False):
        row = of.iloc[0]
        effects = [(TITLES[str(e.measure)], with_interval(e.effect, e.ci_low, e.ci_high)) for e in of.itertuples()]
        other = row["attack_worked_against"]
        line = {column: row[column] for column in by} | {"against": row["against"] if other else "its twin"}
        line |= {"attack worked": row["attack_worked"] + f" and {other}" * bool(other)}
        line |= {"seeds": str(len(row["seeds"].split()))}
        line |= {"effect": "; ".join(f"{title} {text}" for title, text in effects if text != MISSING) or MISSING}
        lines.append(line | {"verdict then": row["verdict_then"]})
    return pd.DataFrame(lines)


def removed_studies() -> pd.DataFrame:
    """One line a study: data, trigger, seeds, and why it was removed."""
    table = read("removed_studies", dtype=str).drop_duplicates("study")
    table["seeds"] = table["seeds"].map(lambda seeds: between(seeds.split(), 0))
    names = {"evaluator": "decides", "removed_because": "removed because"}
    return table[["study", "data", "trigger", "seeds", *names]].rename(columns=names)


def void_verdicts() -> pd.DataFrame:
    """What the rules of the first studies gave, a line a contrast and a column a study."""
    return read("void_verdicts")


def settings() -> pd.DataFrame:
    """One line a setting of the search on CIFAR-10, over its seeds."""
    table = read("search")
    lines = []
    for _, of in table.groupby([column for column in table if column not in NO_FIELDS], sort=False):
        own = of[of["arm"] == "simclr-clean"].sort_values("seed").set_index("seed")
        twin = of[of["arm"] == "simclr-benign"].set_index("seed").reindex(own.index)
        first = own.iloc[0]
        line = {"setting": first["setting"], "seeds": " ".join(map(str, own.index)), "trigger": trigger(first)}
        line |= {"share": f"{first['poison_fraction']:g}", "images": f"{first['n_train']:,}"}
        line |= {"size": first["image_size"], "epochs": first["epochs"], "τ": f"{first['temperature']:g}"}
        line |= {"ACC": between(own["acc"]), "ASR": between(own["asr"]), "twin's ASR": between(twin["asr"])}
        lines.append(line | {"ASR, ridge": between(own["asr_ridge"]), "worked": worked(own["asr"], twin["asr"])})
    return pd.DataFrame(lines)


def worked(asr: "pd.Series[float]", benign: "pd.Series[float]") -> str:
    """In how many seeds ASR exceeds the twin's by the margin. Without a twin, an ASR above the margin is unknown."""
    unknown = int((benign.isna() & (asr >= MARGIN)).sum())  # a twin's ASR is at least 0
    count = int((asr - benign.fillna(1) >= MARGIN).sum())
    return f"{count} of {len(asr)}" + f", {unknown} without a twin" * bool(unknown)


def trigger(run: "pd.Series[str]") -> str:
    strength = f"{float(run['strength']):g}"
    if run["trigger"] == "spectral":
        return f"CTRL's in {run['trigger_band']}, m = {strength}"
    cells = f", {float(run['trigger_cells']):g} cells a side" if run["trigger_cells"] else ""
    return f"blend, α = {strength}{cells}" + (f", {run['test_strength']} at test time" if run["test_strength"] else "")


READERS = ("knn", "ridge", "native")
UNNAMED = ("data=", "eval_every=")
"""Fields of a pilot that change no weight."""


def pilot() -> pd.DataFrame:
    """One line a setting of the pilot runs, over its seeds: rates at the end, and in how many the attack works by any
    evaluator. So at the end, and in the snapshot that has the highest ASR by kNN on one half of the test images, read
    on the other half."""
    table = read("pilot")
    fields = table["fields"].str.split().map(lambda words: " ".join(w for w in words if not w.startswith(UNNAMED)))
    table = table.assign(changed=fields)
    lines = []
    for (recipe, arm, changed), of in table.groupby(["recipe", "arm", "changed"], sort=False):
        of = of.sort_values(["seed", "epoch"])
        if of.duplicated(["seed", "epoch"]).any():
            raise ValueError(f"pilot.csv: expected each seed of {recipe} {changed} once")
        end = of[of["epoch"] == of.groupby("seed")["epoch"].transform("max")].set_index("seed")
        line = {
            **{"recipe": recipe, "arm": arm, "changed": changed or MISSING},
            "seeds": " ".join(map(str, end.index)),
            "ACC": between(end["acc_knn"], 2),
        }
        for reader in ("knn", "ridge"):
            line[f"ASR, {reader}"] = between(end[f"asr_{reader}"], 2)
            line[f"twin's, {reader}"] = between(end[f"asr_{reader}_twin"], 2)
        line |= {"R-Acc": between(end["r_acc_knn"], 2), "most go to": ", ".join(dict.fromkeys(end["mostly"]))}
        chosen = of.loc[of.groupby("seed")["asr_knn_even"].idxmax()]
        line["works"] = f"{_above(end, '').sum()} of {len(end)}"
        lines.append(line | {"best snapshot": f"{_above(chosen, '_odd').sum()} of {len(chosen)}"})
    return pd.DataFrame(lines)


def pilot_successes(recipe: str, changed: str) -> str:
    """In how many pilot runs the attack worked at the end: "k of n"."""
    table = pilot()
    line = table[(table["recipe"] == recipe) & (table["changed"] == (changed or MISSING))]
    return str(line["works"].item())


def _above(runs: pd.DataFrame, half: str) -> "pd.Series[bool]":
    """Whether ASR exceeds the twin's by the margin, by any evaluator."""
    gains = [runs[f"asr_{reader}{half}"] - runs[f"asr_{reader}{half}_twin"] for reader in READERS]
    return pd.concat(gains, axis=1).max(axis=1) >= MARGIN


def prototypes(recipe: str) -> pd.DataFrame:
    """One line a setting tried in memory from this recipe: the highest ASR along training, and the rates at the end,
    or where it was stopped."""
    table = read("prototypes")
    lines = []
    table = table[table["recipe"] == recipe]
    for (kind, changed, seed), of in table.groupby(["trigger", "changed", "seed"], sort=False):
        highest, last = of.iloc[int(of["asr"].argmax())], of.iloc[-1]
        stopped = "" if last["epoch"] == last["epochs"] else f"{last['epoch']} of "
        line = {"trigger": kind, "changed": changed or MISSING, "seed": seed, "epochs": f"{stopped}{last['epochs']}"}
        line |= {"highest ASR (epoch)": f"{number(highest['asr'])} ({highest['epoch']})", "ASR": number(last["asr"])}
        line |= {"ASR, ridge": number(last["asr_ridge"]), "unseen triggers": number(last["asr_random"])}
        lines.append(line | {"ACC": number(last["acc"]), "machine; commit": made_by(last.drop("torch"))})
    return pd.DataFrame(lines)
