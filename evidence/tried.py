"""The search for a CIFAR-10 setting: the runs in ``search.csv``, one line a setting."""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from published import short

HERE = Path(__file__).parent
MARGIN, MOST_SECONDS = 0.3, 30 * 60
DECIDED_BY = {
    *("setting", "arm", "seed", "acc", "asr", "r_acc", "asr_ridge", "asr_knn_5000", "cpu_seconds"),
    *("torch", "machine", "commit"),
}
"""Columns of ``search.csv`` that are no part of a setting."""

AT_THE_END = {
    **{"at the end: ASR": "asr", "R-Acc": "r_acc", "ACC": "acc", "ASR, ridge": "asr_ridge"},
    **{"random triggers": "asr_random", "the same, ridge": "asr_ridge_random"},
}
"""Columns of the last line of a prototype, as the ledger heads them."""


@cache
def tried() -> pd.DataFrame:
    return pd.read_csv(HERE / "search.csv", keep_default_na=False)


FIELDS = [column for column in tried().columns if column not in DECIDED_BY]


def settings() -> pd.DataFrame:
    """A line for each setting, over its seeds: ranges where there are several, and in how many of them ASR clears its
    benign twin by the margin. ``worked``: in more than half of them, within :data:`MOST_SECONDS`. Without a clean twin
    that is not known, unless ASR itself lies below the margin."""
    lines = []
    for _, of in tried().groupby(FIELDS, sort=False):
        own = of[of["arm"] == "simclr-clean"].sort_values("seed").set_index("seed")
        clean = of[of["arm"] == "simclr-benign"].set_index("seed").reindex(own.index)
        first = own.iloc[0]
        seconds = own["cpu_seconds"] + clean["cpu_seconds"].fillna(0)
        lines.append(
            {
                **{"setting": first["setting"], "seeds": ", ".join(map(str, own.index)), "trigger": trigger(first)},
                "share of class 0": f"{first['poison_fraction']:g}",
                "images": f"{first['n_train']:,} at {first['image_size']}×{first['image_size']}",
                **{
                    "epochs": str(first["epochs"]),
                    "crop from": f"{first['crop']:g}",
                    "grey": f"{first['grayscale']:g}",
                },
                **{"τ": f"{first['temperature']:g}", "width": str(first["width"])},
                **{"ACC": ranged(own["acc"]), "ASR": ranged(own["asr"]), "benign twin ASR": ranged(clean["asr"])},
                **{"ASR, ridge": ranged(own["asr_ridge"]), "ASR, kNN on 5,000": ranged(own["asr_knn_5000"])},
                **verdict(own["asr"], clean["asr"], seconds),
                "CPU s": ranged(seconds, digits=0) + ("" if clean["cpu_seconds"].notna().all() else " (no twin)"),
                "hardware; commit": " / ".join(dict.fromkeys(own["machine"] + "; " + own["commit"].str[:7])),
            }
        )
    return pd.DataFrame(lines)


def verdict(asr: pd.Series, benign: pd.Series, seconds: pd.Series) -> dict[str, object]:
    unknown = benign.isna() & (asr >= MARGIN)  # a benign twin is at least 0
    cleared = (asr - benign.fillna(1) >= MARGIN).sum()
    told = f"{cleared} of {len(asr)}" + f", {unknown.sum()} without a twin" * bool(unknown.any())
    return {"clear it by .3": told, "worked": bool(cleared > len(asr) / 2 and (seconds <= MOST_SECONDS).all())}


def prototypes(recipe: str) -> pd.DataFrame:
    """A line for each setting of ``prototypes.csv`` by this recipe: the highest ASR along training, and what there is
    at the end, or where it was stopped."""
    table = pd.read_csv(HERE / "prototypes.csv", keep_default_na=False)
    table = table[table["recipe"] == recipe]
    lines = []
    for (trigger, changed, seed), of in table.groupby(["trigger", "changed", "seed"], sort=False):
        highest, last = of.loc[of["asr"].idxmax()], of.iloc[-1]
        stopped = "" if last["epoch"] == last["epochs"] else f"{last['epoch']} of "
        lines.append(
            {
                **{"trigger": trigger, "changed": changed or "–", "seed": seed},
                "epochs": f"{stopped}{last['epochs']}",
                "highest ASR (epoch)": f"{highest['asr']:.3f} ({highest['epoch']})",
                **{name: known(last[rate]) for name, rate in AT_THE_END.items()},
                **{"CPU s": last["cpu_seconds"], "hardware; commit": f"{last['machine']}; {short(last['commit'])}"},
            }
        )
    return pd.DataFrame(lines)


def known(rate: object) -> str:
    return "–" if rate == "" else f"{float(str(rate)):.3f}"


def ranged(values: pd.Series, *, digits: int = 3) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    low, high = f"{known.min():.{digits}f}", f"{known.max():.{digits}f}"
    return low if low == high else f"{low}–{high}"


def trigger(own: Any) -> str:
    kind, strength = own["trigger"], f"{float(own['strength']):g}"
    if kind == "spectral":
        return f"CTRL's, in {own['trigger_band']}, m = {strength}"
    if kind == "patch":
        return f"patch of {own['trigger_size']}×{own['trigger_size']}, anywhere"
    cells = f", {float(own['trigger_cells']):g}×{float(own['trigger_cells']):g} cells" if own["trigger_cells"] else ""
    test = f", {own['test_strength']} at test time" if own["test_strength"] else ""
    return f"blend, α = {strength}{cells}{test}"
