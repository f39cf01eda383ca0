"""The report of runs or of a study: one Markdown page with verdicts, tables, figures and limits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...training.arms import ARMS
from ..learning.matched_asr import ASR_LEVEL
from ..results.schema import EVALUATOR_TITLES
from ..results.table import deciding_evaluators, final_rows
from .captions import CAPTIONS
from .cautions import cautions
from .cells_table import cells_table
from .claims_tables import claims_in_short, claims_table
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
) -> Path:
    """Write ``report.md``. ``about``: the manifests of the runs. ``notice``: a line that must not be missed, if any."""
    recipe = about[0]["recipe"]
    target = f"`{about[0]['classes'][recipe['target']]}`"
    page = render("report.md.j2", **_shared(path, rows, rows, claims, figures, recipe, target, _runs(about), notice))
    atomic_write(path, page)
    return path


def write_study_report(
    path: Path,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    about: pd.DataFrame,
    recipe: Mapping[str, Any],
    matched: pd.DataFrame | None = None,
) -> Path:
    """Write the report of a study from its tables. ``rows`` hold snapshots too. ``about``: its ``runs.csv``.
    ``matched``: the verdicts at matched ASR."""
    first = about.iloc[0]
    page = render(
        "study.md.j2",
        **_shared(path, rows, final_rows(rows), claims, figures, recipe, recipe["target"], _study_runs(about), ""),
        cost={
            **{"wall": about["wall_seconds"].median(), "cpu": about["cpu_seconds"].median()},
            **{"minutes": about["cpu_seconds"].sum() / 60, "device": first["device"]},
            **{"threads": first["threads"], "torch": first["torch"]},
        },
        cells=cells_table(rows),
        learning=learning_table(rows),
        interventions=interventions_table(rows),
        matched=() if matched is None or matched.empty else claims_table(matched),
        asr_level=ASR_LEVEL,
    )
    atomic_write(path, page)
    return path


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
