"""``measure``: the readings of one encoder, as an object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ... import figures
from ...representations.errors import InputError
from ..panel import PanelOptions
from ..reports.answer import answer
from ..reports.formatting import MISSING
from ..reports.labels import LABELS
from ..reports.readings_table import shown_rows
from ..reports.readings_table import summary as lines_of
from ..results.measures import PRIMARY
from ..results.table import write_rows
from ..runs.foreign_encoder import measure_foreign
from ..runs.foreign_run import ForeignRun
from ..runs.loading import load
from ..runs.measurement import measure_run
from ..runs.run import Run
from ..runs.side_tables import EMBEDDING, ROWS, SPECTRUM, embed_run, spectrum_of, thumbnails_of, write_table
from .latex import booktabs
from .parquet import write_embedding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Measurement", "measure"]

KINDS = ("readings", "embedding", "spectrum")


@dataclass(frozen=True, repr=False, eq=False)
class Measurement:
    """The readings of an encoder beside their references.

    table: the rows (see :mod:`intertwine.analysis.results.schema`).
    """

    run: Run | ForeignRun
    options: PanelOptions
    table: pd.DataFrame

    @cached_property
    def lines(self) -> pd.DataFrame:
        """Value, interval and the measured references as text, one line a reading."""
        lines = lines_of(self.table).drop(columns=["arm", "seed"], errors="ignore")
        return lines.loc[:, (lines != MISSING).any()]

    @cached_property
    def embedding(self) -> pd.DataFrame:
        """UMAP and principal components of clean and triggered held-out images, one a line."""
        return embed_run(self.run, most=self.options.images, evaluator=self.options.evaluator)

    @cached_property
    def spectrum(self) -> pd.DataFrame:
        """Share of variance by principal component, at the output."""
        return spectrum_of(self.run)

    def summary(self, width: int = 80) -> str:
        """The answer in at most 25 lines: what it is, whether the backdoor works, and the primary readings."""
        return answer(self.table, width=width)

    def plot(self, kind: str = "readings", ax: "Axes | None" = None) -> "Figure | Axes":
        """Draw ``readings`` (primaries between their two ends), ``embedding`` or ``spectrum``.

        Args:
            ax: draw into these axes and return them; by default into a new figure, which is returned.
        """
        if kind == "readings":
            return figures.reading_strips(_primaries(self.table), labels=LABELS, ax=ax)
        if kind == "embedding":
            return figures.image_map(self.embedding, ax=ax)
        if kind == "spectrum":
            return figures.spectra(self.spectrum.assign(encoder=self.run.name), ax=ax)
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, received {kind!r}")

    def to_latex(self) -> str:
        """The readings as a LaTeX table (booktabs)."""
        return booktabs(self.lines)

    def to_parquet(self, path: Path | str) -> Path:
        """Write the embedding with thumbnails, for Embedding Atlas and FiftyOne.

        Raises:
            InputError: pyarrow is not installed.
        """
        return write_embedding(self.embedding, thumbnails_of(self.run, most=self.options.images), Path(path))

    def save(self, folder: Path | str) -> list[Path]:
        """Write rows, embedding, spectrum and the three figures; return the files."""
        folder = Path(folder)
        written = [
            write_rows(self.table, folder / ROWS),
            write_table(self.embedding, folder / EMBEDDING),
            write_table(self.spectrum, folder / SPECTRUM),
        ]
        for kind in KINDS:
            figure: Any = self.plot(kind)
            written += figures.save(figure, folder / kind)
        return written

    def __repr__(self) -> str:
        asr = self.table[(self.table["measure"] == "asr") & (self.table["reference"] == "")]
        shown = ", ".join(f"{r['value']:.3f} by {r['evaluator']}" for r in asr.to_dict("records"))
        what = f"Measurement of {self.run.name}: {len(self.table)} rows"
        return f"{what}\n  ASR {shown}\n  .summary() .plot() .table .to_latex() .to_parquet() .save()"

    def _repr_html_(self) -> str:
        return str(self.lines.to_html(index=False, border=0))


def _primaries(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of primary readings, at the layer and subset of each."""
    shown = shown_rows(rows)
    return shown[[m in PRIMARY and PRIMARY[m]["subset"] == s for m, s in zip(shown.measure, shown.subset, strict=True)]]


def measure(
    run: Run | ForeignRun | Path | str,
    *,
    readings: str | Sequence[str] = PanelOptions.readings,  # type: ignore[assignment]
    layers: Sequence[str] | None = None,
    images: int = PanelOptions.images,
    bank: int = PanelOptions.bank,
    evaluator: str = PanelOptions.evaluator,
    **about: Any,
) -> Measurement:
    """Measure an encoder beside its benign twin, if it has one.

    Args:
        run: of :func:`intertwine.analysis.load`, or its name. about: then further arguments of ``load``.
        readings, layers, images, bank, evaluator: see :class:`intertwine.analysis.PanelOptions`.

    Raises:
        InputError: a foreign encoder without data, trigger or target; unknown readings, layers or evaluator.
    """
    if isinstance(run, str | Path):
        run = load(run, **about)
    elif about:
        raise InputError(f"{', '.join(about)}: expected with a name, received with a run that is loaded already")
    options = PanelOptions(readings, layers, images, bank, evaluator)
    if isinstance(run, Run):
        return Measurement(run, options, measure_run(run, run.twin, options))
    return Measurement(run, options, measure_foreign(run, options))
