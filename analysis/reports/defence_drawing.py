"""The figures of defences: maps, curves and arrows, one set a recipe and share of poison."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ... import figures
from ...training.arms import ARMS
from ..defences.catalogue import DETECTORS, MITIGATIONS, UNTREATED
from ..defences.outcomes import curves

__all__ = ["CAPTIONS", "draw_defences"]

CAPTIONS = {
    "map": "Mitigations: ASR (held-out images, by the evaluator named on the page) that is left, and what ACC lost; "
    "detectors: AUROC over "
    "the training images with the labels that the defender has (k-means where the arm learned from none), below a half "
    "where poisons look less suspicious than clean images. Means over seeds; a cross: refused or not there. Arms at "
    "one share of poison in the target's class, to a tenth; seeds whose backdoor does not work count too.",
    "roc": "Detectors at all thresholds, with the labels that the defender has; mean over seeds, band from the lowest "
    "to the highest.",
    "arrows": "Entanglement (neighbour mixing of triggered images: 1 where triggered and target images are one crowd) "
    "and ASR before (marker) and after (head) each mitigation; thin: single seeds.",
}
TITLES = {"asr": "ASR left", "acc_lost": "ACC lost", "auroc": "AUROC of detectors"}


def draw_defences(rows: pd.DataFrame, detected: pd.DataFrame, treated: pd.DataFrame, out: Path) -> list[Path]:
    """``NAME-RECIPE-shareS`` in one and two columns' width, PDF and PNG, of what there is to draw."""
    written = []
    detected = detected[(detected["labels"] != "true") & _poisoned(detected)]
    points = curves(rows)
    points = points[(points["labels"] != "true") & _poisoned(points)]
    both = pd.concat([t[["recipe", "share"]] for t in (detected, treated)])
    for recipe, share in both.drop_duplicates().sort_values(["recipe", "share"]).itertuples(index=False):
        own, of_treated, of_points = (
            t[(t["recipe"] == recipe) & (t["share"] == share)] for t in (detected, treated, points)
        )
        drawings = _drawings(own, of_treated, of_points)
        for name, draw in drawings.items():
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
    if moves["defence"].nunique() > 1:  # one has a panel too wide to be read, and its numbers in the table
        drawings["arrows"] = lambda width: figures.arrows(moves, x_label="neighbour mixing", y_label="ASR", width=width)
    return drawings


def _ordered(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(names)}
    return frame.sort_values("defence", key=lambda column: column.map(order), kind="stable")


def _poisoned(frame: pd.DataFrame) -> pd.Series:
    return frame["arm"].map(lambda arm: ARMS[arm].poisons_data).astype(bool)
