"""Rates of the encoders that ship with the package."""

import pandas as pd
from intertwine.analysis.reports.formatting import MISSING
from intertwine.checkpoints.shipped import index

from .form import number, read

PAIRS = {"ASR, kNN on 5,000": "asr_knn_5000", "ASR, ridge": "asr_ridge"}
UNSEEN = {"unseen triggers": "asr_random", "the same, ridge": "asr_ridge_random"}


def zoo() -> pd.DataFrame:
    others = read("zoo_rates").set_index("name")
    lines = []
    for name, entry in index().items():
        line = {"encoder": f"`zoo:{name}`", "recipe": entry["recipe"]["name"], "seed": entry["seed"]}
        line |= {rate.upper(): number(entry["metrics"][rate]) for rate in ("acc", "asr")}
        if entry["benign"]:
            rates = others.loc[name]
            line |= {title: f"{number(rates[r])} ({number(rates[f'{r}_benign'])})" for title, r in PAIRS.items()}
            line |= {title: number(rates[rate]) for title, rate in UNSEEN.items()}
        lines.append(line)
    return pd.DataFrame(lines).fillna(MISSING)
