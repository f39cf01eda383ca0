"""Does every objective learn, and does every attack work? From rows of one seed."""

from functools import cache

import pandas as pd
from intertwine.analysis.results.schema import EVALUABLE
from intertwine.analysis.results.table import read_rows
from intertwine.training.recipe import read_recipe

from .. import TABLES
from .form import number, with_interval

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


@cache
def _rates(name: str) -> pd.DataFrame:
    """Rates by kNN, a line a run and a column a measure and reference."""
    rows = read_rows(TABLES / f"{name}.csv")
    return rows[(rows["evaluator"] == "knn") & (rows["kind"] == "reading")].set_index(["run", "measure", "reference"])


def objectives() -> pd.DataFrame:
    rates, fits = _rates("objectives"), pd.read_csv(TABLES / "objectives_fit.csv").set_index("arm")
    lines = []
    for arm, fit in fits.iterrows():
        own, init, pixels = (rates.loc[(f"{arm}/seed0", "acc", r)] for r in ("", "random-init", "raw-pixels"))
        gain = own.value - max(init.value, pixels.value)
        lines.append(
            {
                **{"arm": arm, "ACC (95 %)": with_interval(own.value, own.ci_low, own.ci_high)},
                **{"random weights": number(init.value), "raw pixels": number(pixels.value), "gain": f"{gain:+.3f}"},
                **{"learns": "yes" if gain >= GAIN else "**no**", "feature sd": number(fit.feature_sd)},
                **{"effective rank": number(fit.effective_rank, 1), "projection sd": number(fit.projection_sd)},
                **{"collapsed": "**yes**" if fit.collapsed else "no"},
                "minutes wall, CPU": f"{fit.wall_minutes}, {fit.cpu_minutes}",
            }
        )
    return pd.DataFrame(lines)


def attacks() -> pd.DataFrame:
    """The arm that a preset names is in bold."""
    rates, lines = _rates("attacks"), []
    for run in dict.fromkeys(rates.index.get_level_values("run")):
        preset, arm, _ = run.split("/")
        asr, benign, unseen = (rates.loc[(run, "asr", r)] for r in ("", "benign", "random-trigger"))
        works = asr.value - benign.value >= EVALUABLE
        lines.append(
            {
                **{"attack": ATTACKS[preset], "preset": f"`{preset}`"},
                **{"arm": f"**{arm}**" if arm == read_recipe(preset).arm else arm},
                "ACC": number(rates.loc[(run, "acc", "")].value),
                "ASR (95 %)": with_interval(asr.value, asr.ci_low, asr.ci_high),
                **{"twin's ASR": number(benign.value), "unseen triggers": number(unseen.value)},
                "R-Acc": number(rates.loc[(run, "r_acc", "")].value),
                "works": "yes" if works else "**no**",
            }
        )
    return pd.DataFrame(lines)
