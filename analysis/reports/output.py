"""Drawn figures as files: widths, formats, captions and LaTeX beside them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ... import figures
from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ..panel.steps import OnStep, counted
from .captions import CAPTIONS

__all__ = ["Draw", "Output", "as_latex", "caption_of", "write_figures"]

Draw = Callable[[float, bool], Figure]
"""Width in inches, and whether it is one column, which shows fewer panels → figure."""


FORMATS = ("pdf", "png", "svg")
NONE = f"format: expected any of {', '.join(FORMATS)}, received none"


@dataclass(frozen=True)
class Output:
    """How figures are written.

    style: one of :data:`.figures.STYLES`. width: inches; by default the style's two widths, the narrow one as
    ``NAME-1col``. formats: of ``pdf``, ``png``, ``svg``. captions: write ``NAME.txt``, the caption. latex: write
    ``NAME.tex``, which includes the figure with its caption.
    """

    style: str = figures.OURS
    width: float | None = None
    formats: Sequence[str] = ("pdf", "png")
    captions: bool = False
    latex: bool = False


def write_figures(
    drawings: Mapping[str, Draw],
    out: Path,
    output: Output | None = None,
    *,
    only: Collection[str] | None = None,
    seeds: str = "",
    on_step: OnStep | None = None,
) -> list[Path]:
    """Draw every figure, then write them; nothing is written before everything could be drawn.

    Args:
        drawings: file name without suffix → how it is drawn. Its part before the first hyphen has the caption.
        only: names of those to draw. seeds: what captions say of seeds and images.

    Raises:
        InputError: another style, format or name; a width that is not positive; tables that a figure cannot read.
    """
    output = output or Output()
    if output.style not in figures.STYLES:
        raise InputError(f"style: expected one of {', '.join(figures.STYLES)}, received {output.style!r}")
    if not output.formats or set(output.formats) - set(FORMATS):
        strange = [name for name in output.formats if name not in FORMATS]
        raise InputError(f"format: expected any of {', '.join(FORMATS)}, received {strange[0]!r}" if strange else NONE)
    if output.width is not None and not output.width > 0:
        raise InputError(f"width: expected a positive number of inches, received {output.width!r}")
    if only is not None and (unknown := sorted(set(only) - drawings.keys())):
        raise InputError(f"only: expected any of {', '.join(drawings)}, received {', '.join(unknown)}")
    wanted = {name: draw for name, draw in drawings.items() if only is None or name in only}
    with figures.style(output.style) as style:
        middle = (style.one_column + style.two_columns) / 2
        widths: dict[str, float] = (
            {"": output.width} if output.width is not None else {"": style.two_columns, "-1col": style.one_column}
        )
        tick = counted(on_step, 2 * len(widths) * len(wanted), "figures")
        drawn: dict[str, tuple[str, bool, Figure]] = {}
        for suffix, width in widths.items():
            for name, draw in wanted.items():
                try:
                    drawn[f"{name}{suffix}"] = name, width < middle, draw(width, width < middle)
                except ValueError as error:  # the figures' own checks of the tables that they are given
                    raise InputError(f"figures: {name}: {error}") from None
                tick()
        written: list[Path] = []
        for file, (name, narrow, figure) in drawn.items():
            written += figures.save(figure, out / file, output.formats)
            caption = caption_of(name, seeds)
            if output.captions:
                written.append(_write(out / f"{file}.txt", caption + "\n"))
            if output.latex:
                written.append(_write(out / f"{file}.tex", as_latex(file, caption, narrow=narrow)))
            tick()
    return written


def caption_of(name: str, seeds: str = "") -> str:
    """The caption of a figure by its file name, with what is said of seeds."""
    found = CAPTIONS.get(name) or CAPTIONS[name.partition("-")[0]]
    return f"{found} {seeds}".strip()


def as_latex(file: str, caption: str, *, narrow: bool) -> str:
    """A floating figure: of one column, or across both (``figure*``).

    >>> print(as_latex("map", "ASR & 95 %.", narrow=True))
    \\begin{figure}[t]
      \\centering
      \\includegraphics[width=\\linewidth]{map}
      \\caption{ASR \\& 95 \\%.}
      \\label{fig:map}
    \\end{figure}
    <BLANKLINE>
    """
    escaped = caption.replace("\\", r"\textbackslash ")
    for character in "&%$#_{}":
        escaped = escaped.replace(character, "\\" + character)
    for character, command in {"−": "$-$", "→": r"$\rightarrow$", "×": r"$\times$", "~": r"\textasciitilde{}"}.items():
        escaped = escaped.replace(character, command)
    kind = "figure" if narrow else "figure*"
    lines = (r"\centering", rf"\includegraphics[width=\linewidth]{{{file}}}", rf"\caption{{{escaped}}}")
    body = "\n".join(f"  {line}" for line in (*lines, rf"\label{{fig:{file}}}"))
    return f"\\begin{{{kind}}}[t]\n{body}\n\\end{{{kind}}}\n"


def _write(path: Path, text: str) -> Path:
    atomic_write(path, text.encode())
    return path
