"""``study``: arms × seeds of one recipe, trained, measured and judged, as an object."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ... import figures
from ...representations.errors import InputError
from ...training.recipe import Recipe, read_recipe
from ..reports.answer import answer
from ..reports.cells_table import primaries_of
from ..reports.drawing import draw_two_factors
from ..reports.labels import LABELS
from ..reports.readings_table import readings_table
from ..studies.study import STUDY_ARMS, conclude
from ..studies.study import study as run_study
from .latex import booktabs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StudyResult", "study"]

KINDS = ("two_factors", "claims", "dynamics")


@dataclass(frozen=True, repr=False, eq=False)
class StudyResult:
    """The rows (``table``) and verdicts (``claims``) of a study, its folder and the files in it."""

    folder: Path
    table: pd.DataFrame
    claims: pd.DataFrame
    files: tuple[Path, ...]

    @property
    def lines(self) -> pd.DataFrame:
        """Means over seeds beside their references as text, one line a reading and arm."""
        return readings_table(self.table)

    def summary(self, width: int = 80) -> str:
        """The answer in at most 25 lines: arms, verdicts and one sentence."""
        return answer(self.table, width=width)

    def plot(self, kind: str = "two_factors") -> "Figure":
        """Draw ``two_factors`` (learner and poison), ``claims`` (a forest of verdicts) or ``dynamics``."""
        if kind == "two_factors":
            return draw_two_factors(primaries_of(self.table))
        if kind == "claims":
            return figures.forest(self.claims, labels=LABELS)
        if kind == "dynamics":
            return figures.dynamics(pd.read_csv(self.folder / "history.csv"))
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, received {kind!r}")

    def to_latex(self) -> str:
        """:attr:`lines` as a LaTeX table (booktabs)."""
        return booktabs(self.lines)

    def save(self, folder: Path | str) -> list[Path]:
        """Copy tables, figures and report, without the runs; return the copies."""
        copies = []
        for file in self.files:
            copy = Path(folder) / file.relative_to(self.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copies.append(Path(shutil.copyfile(file, copy)))
        return copies

    def __repr__(self) -> str:
        runs = self.table[["arm", "seed"]].drop_duplicates()
        return (
            f"StudyResult in {self.folder}: {len(runs)} runs of {runs['arm'].nunique()} arms, {len(self.table)} rows\n"
            f"  .summary() .plot() .table .claims .save()"
        )

    def _repr_html_(self) -> str:
        return str(self.lines.to_html(index=False, border=0))


def study(
    recipe: Recipe | Path | str,
    *,
    out: Path | str,
    arms: Sequence[str] = STUDY_ARMS,
    seeds: int = 3,
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> StudyResult:
    """Train and measure arms × seeds, judge the claims, draw and report. The same call continues a stopped study.

    Args:
        recipe: a preset by name, a TOML file, or a recipe. fields: changes of it, for example ``{"epochs": 20}``.
        out: the study's folder. more: further arguments of :func:`intertwine.analysis.studies.study.study`.

    Raises:
        InputError: an unknown recipe, field or arm; ``out`` holds another study.
    """
    changes = dict(fields or {})
    plan = recipe.replace(**changes) if isinstance(recipe, Recipe) else read_recipe(str(recipe), **changes)
    folder = Path(out)
    _, _, written = run_study(plan, folder, arms=arms, seeds=seeds, **more)
    rows, claims, reported = conclude(folder)
    return StudyResult(folder, rows, claims, tuple(dict.fromkeys([*written, *reported])))
