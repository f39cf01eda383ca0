"""The figures of defences, one set a recipe and share of poison: maps, Pareto fronts and curves."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...training.arms import ARMS
from ..defences.catalogue import DETECTORS, MITIGATIONS, UNTREATED
from ..defences.outcomes import curves
from .drawing import GEOMETRY, seeds_in_words
from .labels import DEFENCES
from .output import Draw, Output, write_figures

__all__ = ["draw_defences"]

FEW = 4
"""Detectors in one column: those with the highest AUROC."""


def draw_defences(
    rows: pd.DataFrame, detected: pd.DataFrame, treated: pd.DataFrame, out: Path, output: Output | None = None
) -> list[Path]:
    """Draw ``NAME-RECIPE-shareS``; by default as PDF and PNG, at two columns and (``-1col``) one.

    Returns:
        the files.
    """
    written = []
    detected = detected[(detected["labels"] != "true") & _poisoned(detected)]
    points = curves(rows)
    points = points[(points["labels"] != "true") & _poisoned(points)]
    both = pd.concat([t[["recipe", "share"]] for t in (detected, treated)])
    for recipe, share in both.drop_duplicates().sort_values(["recipe", "share"]).itertuples(index=False):
        own, of_treated, of_points = (
            t[(t["recipe"] == recipe) & (t["share"] == share)] for t in (detected, treated, points)
        )
        drawings = {
            f"{name}-{recipe}-share{share:g}": draw for name, draw in _drawings(own, of_treated, of_points).items()
        }
        seeds = seeds_in_words(pd.concat([own[["arm", "seed"]], of_treated[["arm", "seed"]]]))
        written += write_figures(drawings, out, output, seeds=seeds)
    return written


def _drawings(detected: pd.DataFrame, treated: pd.DataFrame, points: pd.DataFrame) -> dict[str, Draw]:
    tried = _ordered(treated[treated["defence"] != UNTREATED], MITIGATIONS)
    outcomes = pd.concat(
        [
            frame.assign(measure=measure, value=frame[measure])[["defence", "arm", "seed", "measure", "value"]]
            for frame, measure in (
                (_ordered(treated, MITIGATIONS), "asr"),
                (tried, "acc_lost"),
                (_ordered(detected, DETECTORS), "auroc"),
            )
        ]
    )
    drawings: dict[str, Draw] = {
        "map": lambda width, _: figures.defence_map(outcomes, untreated=UNTREATED, labels=DEFENCES, width=width)
    }
    if tried["defence"].nunique() > 1:  # one dot has no front
        drawings["pareto"] = lambda width, narrow: figures.pareto(
            _two_arms(tried) if narrow else tried, labels=DEFENCES, width=width
        )
    if len(points):
        areas = detected.rename(columns={"auroc": "value"})[["defence", "arm", "seed", "value"]]
        best = areas.groupby("defence")["value"].mean().sort_values(ascending=False).index

        def roc(width: float, narrow: bool) -> Figure:
            shown = points[points["defence"].isin(best[:FEW])] if narrow else points
            return figures.roc(_ordered(shown, DETECTORS), aurocs=areas, labels=DEFENCES, width=width)

        drawings["roc"] = roc
    return drawings


def _two_arms(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of two arms, one supervised and one contrastive if they are there."""
    arms = sorted(dict.fromkeys(table["arm"]), key=lambda arm: arm not in GEOMETRY)
    return table[table["arm"].isin(arms[:2])]


def _ordered(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(names)}
    return frame.sort_values("defence", key=lambda column: column.map(order), kind="stable")


def _poisoned(frame: pd.DataFrame) -> pd.Series:
    return frame["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)
