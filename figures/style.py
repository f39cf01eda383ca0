"""How every figure looks: sizes, colours, markers and words.

Figures are drawn with the settings that are in force: the caller's own, or those of a named :func:`style`. The colours
of any two arms stay apart under the common colour-vision deficiencies, and every arm has its own marker. Benign arms
are not solid.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import matplotlib

__all__ = [
    "ARM_STYLES",
    "ONE_COLUMN",
    "OURS",
    "PNG_DPI",
    "REFERENCE_MARKERS",
    "ROLES",
    "STYLES",
    "TWO_COLUMN",
    "ArmStyle",
    "Style",
    "arm_styles",
    "capital",
    "current_style",
    "default_width",
    "hollow",
    "in_words",
    "line_of",
    "line_width",
    "mark_size",
    "marked",
    "number",
    "reference_markers",
    "scale",
    "style",
]

PNG_DPI = 300

TEXT = "#333333"
NOTE = "#666666"
MUTED = "#8C8C8C"  # readings that are not ok
FAINT = "#E2E2E2"  # separators
SMALL = "small"  # of notes in a panel, relative to the font size


@dataclass(frozen=True)
class ArmStyle:
    """How one arm is drawn, the same in every figure."""

    color: str
    marker: str | tuple[int, int, int]  # as matplotlib names them
    linestyle: str = "-"


# The order here is the order of arms in every figure. The poisoned arms of the first three learners are near the
# colours of Okabe and Ito; the others were chosen so that no two of all are closer than 10 in CIEDE2000, as seen with
# normal sight, deuteranopia and protanopia. A test computes it.
ARM_STYLES: dict[str, ArmStyle] = {
    "supervised-benign": ArmStyle("#695A69", "P", "--"),
    "supcon-benign": ArmStyle("#B4D2C3", "<", "-."),
    "simclr-benign": ArmStyle("#877869", ">", ":"),
    "supervised-dirty": ArmStyle("#004B78", "s"),
    "supervised-clean": ArmStyle("#4BB4F0", "D"),
    "supcon-dirty": ArmStyle("#3CA55A", "^"),
    "supcon-clean": ArmStyle("#C378B4", "v"),
    "simclr-dirty": ArmStyle("#F0A50F", (6, 1, 0)),
    "simclr-clean": ArmStyle("#D55E00", "o"),
    "byol-benign": ArmStyle("#FFB487", "8", "--"),
    "simsiam-benign": ArmStyle("#B4B4C3", "H", "-."),
    "moco-benign": ArmStyle("#960F4B", (4, 1, 0), ":"),
    "barlow-benign": ArmStyle("#967887", (5, 0, 180), "--"),
    "byol-dirty": ArmStyle("#965A96", (5, 1, 0)),
    "simsiam-dirty": ArmStyle("#4BE1FF", (7, 1, 0)),
    "moco-dirty": ArmStyle("#F08796", (8, 1, 0)),
    "barlow-dirty": ArmStyle("#695AE1", (3, 1, 90)),
    "byol-clean": ArmStyle("#6900D2", "X"),
    "simsiam-clean": ArmStyle("#4B2D0F", "p"),
    "moco-clean": ArmStyle("#C30F3C", "h"),
    "barlow-clean": ArmStyle("#5A87FF", "d"),
    "badencoder": ArmStyle("#694B00", (3, 1, 0)),
}
ROLES = {"target": "#000000", "hits": "#F0047F", "misses": "#A4A4A4", "other": "#D6D6D6"}
"""Colours of images by their role, which no arm has: clean images of the target class, hits, triggered images that are
no hits, and clean images of other classes."""

# For arms that the table does not know: 3 colours × 8 markers, coprime, so slot k gives 24 different pairs.
_SPARE_COLORS = ("#9C7A00", "#303030", "#4E7A00")
_SPARE_MARKERS = ("X", "p", "h", "d", "8", "H", (4, 1, 0), (5, 0, 180))

# Strokes and a star, which no arm uses: nobody takes a reference for a reading.
REFERENCE_MARKERS: dict[str, str] = {
    "benign": "|",
    "together": "*",
    "apart": "3",
    "false-positives": "4",
    "random-trigger": "+",
    "random-init": "x",
    "raw-pixels": "1",
}
_SPARE_REFERENCE_MARKERS = ("2", ",", ".")


@dataclass(frozen=True)
class Style:
    """A named style. Widths of one and two columns and the largest height, all in inches; the settings of matplotlib.

    The height leaves room for a caption on the page.
    """

    one_column: float
    two_columns: float
    tallest: float
    rc: dict[str, Any] = field(repr=False)


def _settings(family: str, size: float, small: float, line: float) -> dict[str, Any]:
    """Sizes in points: of text, of ticks and legends, and of lines."""
    return {
        "font.family": family,  # each ships with matplotlib: the same glyphs on every machine
        "mathtext.fontset": "stix" if family == "STIXGeneral" else "dejavusans",
        "font.size": size,
        "figure.labelsize": size,
        "axes.titlesize": size,
        "axes.titlelocation": "left",
        "axes.labelsize": size,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "legend.frameon": False,
        "text.color": TEXT,
        "axes.labelcolor": TEXT,
        "axes.edgecolor": "#777777",
        "axes.linewidth": 0.55 * line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": "#777777",
        "ytick.color": "#777777",
        "xtick.labelcolor": TEXT,
        "ytick.labelcolor": TEXT,
        "xtick.major.size": 2.3 * line,
        "ytick.major.size": 2.3 * line,
        "lines.linewidth": line,
        "lines.markersize": 3.2 * line,
    }


OURS = "intertwine"
STYLES: dict[str, Style] = {
    OURS: Style(3.3, 6.8, 7.5, _settings("DejaVu Sans", 7, 6.5, 1.1)),
    "usenix": Style(3.33, 7.0, 7.5, _settings("STIXGeneral", 9, 8, 1.1)),  # Times beside the text's Times
    "nature": Style(3.5, 7.2, 6.7, _settings("DejaVu Sans", 6.5, 6, 1.0)),  # 89 and 183 mm, at most 170 mm high
    "slides": Style(6.0, 12.0, 6.2, _settings("DejaVu Sans", 15, 13, 2.2)),  # half and all of a 13.3 × 7.5 slide
}
"""Style → its sizes. ``intertwine`` is the one of our commands."""

ONE_COLUMN, TWO_COLUMN = STYLES[OURS].one_column, STYLES[OURS].two_columns  # inches
_BASE = 7  # the font size for which heights of panels are given

_current: ContextVar[Style | None] = ContextVar("style", default=None)


@contextmanager
def style(name: str = OURS) -> Iterator[Style]:
    """Draw and save inside this context in a style of :data:`STYLES`; afterwards the caller's own settings are back.

    It starts from matplotlib's defaults, not from the user's matplotlibrc, so a figure looks the same for everyone.
    Outside, figures follow the settings in force: matplotlibrc, ``seaborn.set_theme()``, ``plt.style.use()``.

    >>> with style("usenix") as usenix:
    ...     usenix.one_column, default_width()
    (3.33, 7.0)
    """
    if name not in STYLES:
        raise ValueError(f"style: expected one of {', '.join(STYLES)}, received {name!r}")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        cast("dict[str, Any]", matplotlib.rcParams).update(STYLES[name].rc)
        token = _current.set(STYLES[name])
        try:
            yield STYLES[name]
        finally:
            _current.reset(token)


def current_style() -> Style | None:
    """The named style that is in force; None where the user's settings are."""
    return _current.get()


def default_width() -> float:
    """Inches: two columns of the style in force, or the width of the user's figures."""
    found = _current.get()
    return found.two_columns if found else float(matplotlib.rcParams["figure.figsize"][0])


def scale() -> float:
    """The font size in force over that for which panels are measured."""
    return float(matplotlib.rcParams["font.size"]) / _BASE


def mark_size(share: float = 1.0) -> float:
    """A share of the size of markers that is in force, in points."""
    return share * float(matplotlib.rcParams["lines.markersize"])


def line_width(share: float = 1.0) -> float:
    """A share of the width of lines that is in force, in points."""
    return share * float(matplotlib.rcParams["lines.linewidth"])


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """The style of each arm. An unknown arm gets a spare one, chosen by its name, so that figures agree.

    >>> arm_styles(["simclr-clean"])["simclr-clean"].color
    '#D55E00'
    """
    slots = len(_SPARE_COLORS) * len(_SPARE_MARKERS)
    taken: set[int] = set()
    found: dict[str, ArmStyle] = {}
    for arm in arms:
        if arm not in ARM_STYLES:
            slot = zlib.crc32(arm.encode()) % slots  # not hash(): that one changes from process to process
            while slot in taken and len(taken) < slots:
                slot = (slot + 1) % slots
            taken.add(slot)
            found[arm] = ArmStyle(_SPARE_COLORS[slot % len(_SPARE_COLORS)], _SPARE_MARKERS[slot % len(_SPARE_MARKERS)])
        else:
            found[arm] = ARM_STYLES[arm]
    return found


def reference_markers(references: Iterable[str]) -> dict[str, str]:
    """The marker of each reference present, known ones first. Unknown ones get spare strokes."""
    present = set(references)
    markers = {name: marker for name, marker in REFERENCE_MARKERS.items() if name in present}
    for position, name in enumerate(sorted(present - REFERENCE_MARKERS.keys())):
        markers[name] = _SPARE_REFERENCE_MARKERS[position % len(_SPARE_REFERENCE_MARKERS)]
    return markers


def in_words(name: str, labels: Mapping[str, str] | None) -> str:
    """The label of a measure, reference or subset; without one, its name with spaces.

    >>> in_words("random-trigger", {"benign": "benign twin"})
    'random trigger'
    """
    return (labels or {}).get(name) or name.replace("_", " ").replace("-", " ")


def capital(text: str) -> str:
    """A label as a title: with a capital, unless its first word is a name that has one later.

    >>> capital("mixing (smaller side)"), capital("kNN accuracy"), capital("ACC")
    ('Mixing (smaller side)', 'kNN accuracy', 'ACC')
    """
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text


def number(value: float, digits: int = 2) -> str:
    """A number as figures print it: with a true minus sign, and no sign before 0.

    >>> number(-0.014), number(-0.001)
    ('−0.01', '0.00')
    """
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def line_of(look: ArmStyle) -> dict[str, Any]:
    """Colour, marker and dashes of an arm's line, as matplotlib takes them."""
    return {"color": look.color, "marker": look.marker, "linestyle": look.linestyle}


def marked(look: ArmStyle, share: float = 1.0) -> dict[str, Any]:
    """Colour and marker of an arm, as matplotlib takes them. share: of the size in force."""
    return {"color": look.color, "marker": look.marker, "markersize": mark_size(share)}


def hollow(share: float = 1.0) -> dict[str, Any]:
    """The look of a point whose status is not ok. share: of the size in force."""
    return {
        "color": MUTED,
        "linestyle": "none",
        "marker": "o",
        "markersize": mark_size(share),
        "markerfacecolor": "white",
    }
