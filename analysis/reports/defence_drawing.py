"""The figures of defences, one set a recipe and share of poison: maps, curves and arrows."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...training.arms import ARMS
from ..defences.catalogue import DETECTORS, MITIGATIONS, UNTREATED
from ..defences.outcomes import curves

__all__ = ["draw_defences"]

TITLES = {"asr": "ASR left", "acc_lost": "ACC lost", "auroc": "AUROC of detectors"}


def draw_defences(rows: pd.DataFrame, detected: pd.DataFrame, treated: pd.DataFrame, out: Path) -> list[Path]:
    """Draw ``NAME-RECIPE-shareS`` at two-column and one-column width, as PDF and PNG.

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
        for name, draw in _drawings(own, of_treated, of_points).items():
            for suffix, width in (("", figures.TWO_COLUMN), ("-1col", figures.ONE_COLUMN)):
                written += figures.save(draw(width), out / f"{name}-{recipe}-share{share:g}{suffix}")
    return written


def _drawings(
    detected: pd.DataFrame, treated: pd.DataFrame, points: pd.DataFrame
) -> dict[str, Callable[[float], Figure]]:
    outcomes = pd.concat(
        [
            frame.assign(measure=measure, value=frame[measure])[["defence", "arm", "seed", "measure", "value"]]
            for frame, measure in (
                (_ordered(treated, MITIGATIONS), "asr"),
                (_ordered(treated[treated["defence"] != UNTREATED], MITIGATIONS), "acc_lost"),
                (_ordered(detected, DETECTORS), "auroc"),
            )
        ]
    )
    moves = _ordered(treated[treated["defence"] != UNTREATED], MITIGATIONS)
    moves = moves.assign(
        before_x=moves["before_neighbour_mixing"],
        before_y=moves["before_asr"],
        x=moves["neighbour_mixing"],
        y=moves["asr"],
    )
    drawings: dict[str, Callable[[float], Figure]] = {
        "map": lambda width: figures.defence_map(
            outcomes, titles={m: t for m, t in TITLES.items() if m in set(outcomes["measure"])}, width=width
        )
    }
    if len(points):
        drawings["roc"] = lambda width: figures.roc(_ordered(points, DETECTORS), width=width)
    if moves["defence"].nunique() > 1:  # a single panel would be too wide; the table has its numbers
        drawings["arrows"] = lambda width: figures.arrows(moves, x_label="neighbour mixing", y_label="ASR", width=width)
    return drawings


def _ordered(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(names)}
    return frame.sort_values("defence", key=lambda column: column.map(order), kind="stable")


def _poisoned(frame: pd.DataFrame) -> pd.Series:
    return frame["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)
