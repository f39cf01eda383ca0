"""``compare``: the geometry of two encoders side by side, as an object."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ... import figures
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ...training.data import ImageSet
from ..panel import PanelOptions
from ..reports.formatting import interval, number
from ..reports.labels import LABELS
from ..results.measures import IS_BACKDOORED
from ..results.schema import EVALUATOR_TITLES
from ..results.table import write_rows
from ..runs.foreign_run import ForeignRun
from ..runs.loading import load
from ..runs.run import Run
from ..runs.side_tables import EMBEDDING, LAYER_CKA, ROWS, SPECTRUM, embed_run, spectrum_of, write_table
from ..studies.encoder_pair import GEOMETRY, common_images, pair_rows, resized
from .latex import booktabs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparison", "compare"]

Loaded = Run | ForeignRun
KINDS = ("cka", "spectra", "embedding")


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """Two encoders on the same images.

    table: the rows: readings of clean images by layer, CKA of all pairs of layers (kind ``pair``), and the rates of
    encoders with a trigger. images: the images of both. what: a sentence on them.
    """

    runs: tuple[Loaded, Loaded]
    names: tuple[str, str]
    images: ImageSet
    what: str
    table: pd.DataFrame

    @cached_property
    def lines(self) -> pd.DataFrame:
        """The values of both encoders at the output as text, one line a reading."""
        rows = self.table
        own = rows[(rows["kind"] == "reading") & (rows["layer"] == FEATURES) & (rows["subset"] == "clean")]
        own = own[(own["reference"] == "") & (own["evaluator"] == "")]
        return pd.DataFrame(
            {
                "reading": [LABELS.get(m, m) for m in dict.fromkeys(own["measure"])],
                **{
                    name: [
                        number(float(own[(own["run"] == name) & (own["measure"] == m)]["value"].iloc[0]))
                        for m in dict.fromkeys(own["measure"])
                    ]
                    for name in self.names
                },
            }
        )

    @cached_property
    def cka(self) -> pd.DataFrame:
        """CKA of every layer of the first with every layer of the second encoder."""
        pairs = self.table[self.table["kind"] == "pair"]
        return pairs[["layer", "other_layer", "value", "ci_low", "ci_high", "n"]].reset_index(drop=True)

    @cached_property
    def spectrum(self) -> pd.DataFrame:
        """Share of variance by principal component of both, at the output."""
        return self._of_both(spectrum_of)

    @cached_property
    def embedding(self) -> pd.DataFrame:
        """Principal components of both, one image a line; with triggered images where there is a trigger."""
        return self._of_both(partial(embed_run, nonlinear=False))

    def _of_both(self, table: Callable[[Loaded], pd.DataFrame]) -> pd.DataFrame:
        """A table of both, with the column ``encoder``."""
        tables = [table(run).assign(encoder=name) for run, name in zip(self._alike, self.names, strict=True)]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def _alike(self) -> list[ForeignRun]:
        """Both encoders on the same images."""
        alike = []
        for run in self.runs:
            size = run.image_size
            data = ImageSet(
                resized(self.images.images, size), self.images.labels, self.images.classes, self.images.name
            )
            same_classes = run.data is not None and run.data.classes == data.classes
            trigger, target = (run.trigger, run.target) if same_classes else (None, None)
            alike.append(ForeignRun(run.name, run.encoder, size, data, run.bank, trigger, target))
        return alike

    def summary(self, width: int = 80) -> str:
        """Names, images, readings at the output side by side, CKA, and whether each backdoor works."""
        first, second = self.names
        lines = [f"A  {first}", f"B  {second}", *textwrap.wrap(f"on {self.what}", width), ""]
        for reading, a, b in [("at the output", "A", "B"), *self.lines.itertuples(index=False)]:
            lines.append(f"{reading:<40} {a:>10} {b:>10}")
        lines += ["", *(_rates_line(letter, name, self.table) for letter, name in zip("AB", self.names, strict=True))]
        of_outputs = self.cka[(self.cka["layer"] == FEATURES) & (self.cka["other_layer"] == FEATURES)]
        for value, low, high in of_outputs[["value", "ci_low", "ci_high"]].itertuples(index=False):
            shown = f"{number(value)} {interval(low, high)}"
            lines.append(f"In short: CKA of the outputs is {shown}; 1 is equal geometry.")
        layer, other, value = self.cka.sort_values("value")[["layer", "other_layer", "value"]].iloc[-1]
        lines.append(
            f"Most alike are {LABELS.get(layer, layer)} of A and {LABELS.get(other, other)} of B ({number(value)})."
        )
        return "\n".join(lines)

    def plot(self, kind: str = "cka", ax: "Axes | None" = None) -> "Figure":
        """Draw ``cka`` (all pairs of layers), ``spectra`` or ``embedding`` (one map an encoder).

        Args:
            ax: draw here; by default into a new figure. ``embedding`` draws two panels, and takes none.

        Returns:
            The figure, that of ``ax`` if given.
        """
        first, second = self.names
        if kind == "cka":
            pairs = self.cka.assign(
                layer=self.cka["layer"].map(lambda x: LABELS.get(x, x)),
                other_layer=self.cka["other_layer"].map(lambda x: LABELS.get(x, x)),
            )
            return figures.layer_similarity(pairs, x_label=second, y_label=first, ax=ax)
        if kind == "spectra":
            return figures.spectra(self.spectrum, ax=ax)
        if kind == "embedding":
            if ax is not None:
                raise InputError("ax: expected none for embedding, which has two panels, received axes")
            return figures.image_maps(self.embedding)
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, received {kind!r}")

    def to_latex(self) -> str:
        """The readings at the output as a LaTeX table (booktabs)."""
        return booktabs(self.lines)

    def save(self, folder: Path | str) -> list[Path]:
        """Write rows, CKA, spectra, embedding and the three figures; return the files."""
        folder = Path(folder)
        written = [
            write_rows(self.table, folder / ROWS),
            write_table(self.cka, folder / LAYER_CKA),
            write_table(self.spectrum, folder / SPECTRUM),
            write_table(self.embedding, folder / EMBEDDING),
        ]
        with figures.style():
            for kind in KINDS:
                written += figures.save(self.plot(kind), folder / kind)
        return written

    def __repr__(self) -> str:
        first, second = self.names
        return f"Comparison of {first} and {second}\n  on {self.what}\n  .summary() .plot() .table .cka .save()"

    def _repr_html_(self) -> str:
        return str(self.lines.to_html(index=False, border=0))


def _rates_line(letter: str, name: str, rows: pd.DataFrame) -> str:
    """Whether the backdoor of one encoder works."""
    own = rows[(rows["run"] == name) & (rows["measure"] == "asr")]
    if own.empty:
        return f"Backdoor of {letter}: no trigger was given; clean images only"
    rate = {(str(r["reference"]), str(r["evaluator"])): float(r["value"]) for r in own.to_dict("records")}
    other = "benign" if any(reference == "benign" for reference, _ in rate) else "random-init"
    both = [evaluator for reference, evaluator in rate if reference == "" and (other, evaluator) in rate]
    best = max(both, key=lambda evaluator: rate["", evaluator] - rate[other, evaluator])
    value, twin = rate["", best], rate[other, best]
    found = rows[(rows["run"] == name) & (rows["measure"] == IS_BACKDOORED)]["value"]
    works = "works" if (found == 1).any() else "does not work"
    beside = "benign twin" if other == "benign" else "random weights"
    return f"Backdoor of {letter} {works}: ASR {number(value)} by {EVALUATOR_TITLES[best]}, {beside} {number(twin)}"


def compare(
    a: Loaded | Path | str,
    b: Loaded | Path | str,
    *,
    readings: Sequence[str] = GEOMETRY,
    layers: Sequence[str] | None = None,
    images: int = PanelOptions.images,
    evaluator: str = PanelOptions.evaluator,
    **about: Any,
) -> Comparison:
    """Compare the geometry of two encoders on the same clean images.

    Args:
        a, b: of :func:`intertwine.analysis.load`, or their names. about: then further arguments of ``load`` for both;
            ``data`` are the images where an encoder has none of its own.
        readings: measures of clean images. layers: those of either encoder; all by default.
        images: at most so many held-out images. evaluator: decides hits in rates.

    Raises:
        InputError: no images for both; unknown readings or layers.
    """
    options = PanelOptions(images=images, evaluator=evaluator)
    names = [_name(x) for x in (a, b)]
    if names[0] == names[1]:
        names = [f"{name} ({i})" for i, name in enumerate(names, start=1)]
    first, second = (load(x, **about) if isinstance(x, str | Path) else x for x in (a, b))
    common, what = common_images(first, second, images)
    both = (names[0], names[1])
    rows = pair_rows(first, second, common, both, readings=readings, layers=layers, options=options)
    return Comparison((first, second), both, common, what, rows)


def _name(x: Loaded | Path | str) -> str:
    if not isinstance(x, str | Path):
        return x.name
    path = Path(str(x).removeprefix("zoo:"))
    return "/".join(path.parts[-2:]) if path.name.startswith("seed") else path.stem
