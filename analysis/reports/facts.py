"""What was measured: the block below the title of ``report.html``."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..results.schema import EVALUATOR_TITLES
from ..results.table import by_deciding_evaluator, deciding_evaluators

__all__ = ["defence_facts", "run_facts"]

Facts = list[tuple[str, str]]
"""Terms and texts."""


def run_facts(recipe: Mapping[str, Any], target: str, rows: pd.DataFrame) -> Facts:
    """Of runs of one recipe. target: the name of the class. rows: those at the end of training."""
    arms, seeds = list(dict.fromkeys(rows["arm"])), sorted(set(rows["seed"]))
    return [
        *_recipe(recipe),
        ("Target class", target),
        ("Arms", f"{len(arms)}: {', '.join(arms)}" if len(arms) <= 3 else str(len(arms))),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Held-out images", _images(rows)),
        ("Hits are by", " and ".join(EVALUATOR_TITLES[name] for name in deciding_evaluators(rows)) or "nobody"),
    ]


def defence_facts(rows: pd.DataFrame, recipes: Mapping[str, Mapping[str, Any]], evaluator: str) -> Facts:
    """Of a study of defences. recipes: by name, as far as they are known."""
    names = sorted(set(rows["recipe"]))
    found: Facts = []
    for name in names:
        about = _recipe(recipes[name]) if name in recipes else [("Recipe", name)]
        target = [("Target class", str(recipes[name]["target"]))] if name in recipes else []
        found += about + target
    shares = ", ".join(f"{share:.1f}" for share in sorted(set(rows["share"].dropna().round(1)) - {0}))
    budgets = ", ".join(f"{100 * budget:g} %" for budget in sorted(set(rows["budget"].dropna())))
    return [
        *found,
        ("Arms", str(rows["arm"].nunique())),
        ("Seeds", ", ".join(map(str, sorted(set(rows["seed"]))))),
        ("Defences", str(rows["defence"].nunique())),
        *([("Share of poison in the target class", shares)] if shares else []),
        ("Known to be clean", f"{budgets} of each class"),
        ("Rates are by", EVALUATOR_TITLES[evaluator]),
    ]


def _recipe(recipe: Mapping[str, Any]) -> Facts:
    """Fields that a recipe of an earlier version lacks are left out."""
    strength = recipe["strength"]
    facts = [
        ("Data", f"{recipe['data']}" + (f", {recipe['n_train']} training images" if recipe.get("n_train") else "")),
        ("Recipe", recipe["name"]),
        ("Trigger", f"{recipe['trigger']}, " + ("its own strength" if strength is None else f"strength {strength:g}")),
    ]
    if "poison_fraction" in recipe:
        base = {"target_class": "the target class", "dataset": "the data"}[recipe.get("poison_base", "target_class")]
        facts.append(("Poison", f"{100 * recipe['poison_fraction']:g} % of {base}"))
    if "arch" in recipe:
        facts.append(("Encoder", f"{recipe['arch']}, {recipe['epochs']} epochs"))
    return facts


def _images(rows: pd.DataFrame) -> str:
    """Rates are over all held-out images, other readings over a part of them."""
    own = rows[rows["reference"] == ""]
    rates = by_deciding_evaluator(own[own["measure"].isin(["acc", "asr"])]).groupby("measure")["n"].max()
    readings = own[(own["measure"] == "effective_rank") & (own["subset"] == "clean")]["n"].max()
    text = ", ".join(f"{int(rates[m])} {kind}" for m, kind in (("acc", "clean"), ("asr", "triggered")) if m in rates)
    if "acc" in rates and readings < rates["acc"]:
        text += f"; readings use {int(readings)}"
    return text
