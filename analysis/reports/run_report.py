"""The report of runs or of a study, with verdicts, tables, figures and limits: ``report.md``, and ``report.html`` to
explore."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...figures import ARM_STYLES
from ...training.arms import ARMS
from ..learning.matched_asr import ASR_LEVEL
from ..results.schema import EVALUATOR_TITLES
from ..results.table import deciding_evaluators, final_rows, find_table
from .answer import in_short
from .captions import CAPTIONS
from .cautions import cautions
from .cells_table import cells_table
from .claims_tables import claims_in_short, claims_table
from .defence_report import defence_tables
from .facts import run_facts
from .interactive import verdict_groups, write_page
from .learning_tables import interventions_table, learning_table
from .pages import render
from .readings_table import readings_table

__all__ = ["write_report", "write_study_report"]

VIEWS = {"supervised": "1", "badencoder": "3"}
"""Images that a training step sees of each image; of BadEncoder: itself, its triggered copy and a reference."""


def write_report(
    path: Path,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    about: Sequence[Mapping[str, Any]],
    *,
    notice: str = "",
    folders: Sequence[Path] = (),
) -> list[Path]:
    """Write both pages of runs.

    Args:
        path: of the page in Markdown; the other one stands beside it. ``rows.csv`` is in the same folder.
        about: the manifests of the runs.
        notice: a line that must not be missed, if any.
        folders: of the runs, for maps and for what defences did to them; none for a page without these.
    """
    recipe = about[0]["recipe"]
    name = str(about[0]["classes"][recipe["target"]])
    values = _shared(path, rows, rows, claims, figures, recipe, f"`{name}`", _runs(about), notice)
    values["defences"] = defence_tables(folders)
    atomic_write(path, render("report.md.j2", **values))
    values |= _head(recipe, name, rows, claims)
    page = write_page(path.with_suffix(".html"), "run.html.j2", values, figures, folders=_shown(folders, about))
    return [path, page]


def _shown(folders: Sequence[Path], about: Sequence[Mapping[str, Any]]) -> list[Path]:
    """The first seed of each arm: coordinates of different runs are unrelated, and many maps make a large page."""
    order = list(ARM_STYLES)
    runs = sorted(zip(folders, about, strict=False), key=lambda run: (order.index(run[1]["arm"]), run[1]["seed"]))
    first: dict[str, Path] = {}
    for folder, manifest in runs:
        first.setdefault(manifest["arm"], folder)
    return list(first.values())


def write_study_report(
    path: Path,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    about: pd.DataFrame,
    recipe: Mapping[str, Any],
    matched: pd.DataFrame | None = None,
    layers: pd.DataFrame | None = None,
) -> list[Path]:
    """Write both pages of a study from its tables.

    Args:
        rows: with those of snapshots.
        about: the study's ``runs.csv``.
        matched: the verdicts at matched ASR.
        layers: CKA of the layers of two runs, if it is known.
    """
    first, final = about.iloc[0], final_rows(rows)
    matched = pd.DataFrame() if matched is None else matched
    values = _shared(path, rows, final, claims, figures, recipe, recipe["target"], _study_runs(about), "")
    values |= {
        "cost": {
            **{"wall": about["wall_seconds"].median(), "cpu": about["cpu_seconds"].median()},
            **{"minutes": about["cpu_seconds"].sum() / 60, "device": first["device"]},
            **{"threads": first["threads"], "torch": first["torch"]},
        },
        "cells": cells_table(rows),
        "learning": learning_table(rows),
        "interventions": interventions_table(rows),
        "matched": () if matched.empty else claims_table(matched),
        "asr_level": ASR_LEVEL,
    }
    atomic_write(path, render("study.md.j2", **values))
    values |= _head(recipe, str(recipe["target"]), rows, claims)
    values |= {"matched_verdicts": verdict_groups(matched), "defences": (), "layers": layers}
    page = write_page(path.with_suffix(".html"), "study.html.j2", values, figures)
    return [path, page]


def _head(recipe: Mapping[str, Any], target: str, rows: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """What the page to explore has beside the values of the page in Markdown. target: the name of the class."""
    return {
        "title": "Learned apart, or intertwined?",
        "answer": in_short(rows),
        "facts": run_facts(recipe, target, final_rows(rows)),
        "verdicts": verdict_groups(claims),
    }


def _shared(
    path: Path,
    rows: pd.DataFrame,
    final: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    recipe: Mapping[str, Any],
    target: object,
    runs: pd.DataFrame,
    notice: str,
) -> dict[str, Any]:
    """What both reports show. ``final``: the rows at the end of training."""
    drawn = [figure for figure in figures if figure.suffix == ".png" and figure.stem in CAPTIONS]
    links = [figure.relative_to(path.parent).as_posix() for figure in drawn]
    return {
        "notice": notice,
        "in_short": claims_in_short(claims),
        "claims": claims_table(claims) if len(claims) else (),
        "cautions": cautions(final),
        "readings": readings_table(final),
        "across_seeds": final.groupby("arm")["seed"].nunique().max() >= 3,
        "figures": [
            (figure.stem, link, f"{link.removesuffix('png')}pdf", CAPTIONS[figure.stem])
            for figure, link in zip(drawn, links, strict=True)
        ],
        "runs": runs,
        "recipe": recipe,
        "seeds": sorted(set(rows["seed"])),
        "target": target,
        "csv": find_table(path.parent, "rows.csv").name,
        "evaluators": [EVALUATOR_TITLES[evaluator] for evaluator in deciding_evaluators(rows)],
    }


def _runs(about: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Cost and identity of each run, as text."""
    return pd.DataFrame(
        {
            "run": [f"{m['arm']}/seed{m['seed']}" for m in about],
            "images seen": [str(m["final"]["images_seen"]) for m in about],
            "views an image": [VIEWS.get(ARMS[m["arm"]].learner, "2") for m in about],
            "poisons": [str(len(m["plan"]["target_indices"]) if ARMS[m["arm"]].poisons_data else 0) for m in about],
            "wall s": [f"{m['seconds']['wall']:.0f}" for m in about],
            "CPU s": [f"{m['seconds']['cpu']:.0f}" for m in about],
            "threads": [str(m["identity"]["threads"]) for m in about],
            "torch": [m["identity"]["torch"] for m in about],
            "run hash": [m["run_hash"][:12] for m in about],
        }
    )


def _study_runs(about: pd.DataFrame) -> pd.DataFrame:
    """``runs.csv`` as text, with the first digits of hashes."""
    hashes = about.columns.intersection(["run_hash", "commit"])
    short = about.map(str).assign(**{column: about[column].map(lambda text: str(text)[:12]) for column in hashes})
    return short.rename(columns=lambda column: column.replace("_", " "))
