"""How every figure looks: sizes, colours, markers and words.

Colours are those of Okabe and Ito, which stay apart under the common colour-vision deficiencies. Every arm also has its
own marker. Benign arms are greyish and not solid, so a figure survives a black-and-white printer.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib

__all__ = [
    "ARM_STYLES",
    "ONE_COLUMN",
    "PNG_DPI",
    "REFERENCE_MARKERS",
    "TWO_COLUMN",
    "ArmStyle",
    "arm_styles",
    "hollow",
    "in_words",
    "marked",
    "reference_markers",
    "style",
]

ONE_COLUMN = 3.3  # inches
TWO_COLUMN = 6.8
PNG_DPI = 300

TEXT = "#333333"
NOTE = "#666666"
MUTED = "#8C8C8C"  # readings that are not ok
FAINT = "#E2E2E2"  # separators


@dataclass(frozen=True)
class ArmStyle:
    """How one arm is drawn, the same in every figure."""

    color: str
    marker: str | tuple[int, int, int]  # as matplotlib names them
    linestyle: str = "-"


# The order here is the order of arms in every figure.
ARM_STYLES: dict[str, ArmStyle] = {
    "supervised-benign": ArmStyle("#5B6C7D", "P", "--"),
    "supcon-benign": ArmStyle("#93A88A", "<", "-."),
    "simclr-benign": ArmStyle("#CDA893", ">", ":"),
    "supervised-dirty": ArmStyle("#0072B2", "s"),
    "supervised-clean": ArmStyle("#56B4E9", "D"),
    "supcon-dirty": ArmStyle("#009E73", "^"),
    "supcon-clean": ArmStyle("#CC79A7", "v"),
    "simclr-dirty": ArmStyle("#E69F00", (6, 1, 0)),
    "simclr-clean": ArmStyle("#D55E00", "o"),
    "byol-benign": ArmStyle("#B3A2BC", "8", "--"),
    "simsiam-benign": ArmStyle("#A8998C", "H", "-."),
    "moco-benign": ArmStyle("#C4A3A8", (4, 1, 0), ":"),
    "barlow-benign": ArmStyle("#A3A3C4", (5, 0, 180), "--"),
    "byol-dirty": ArmStyle("#A86CBF", (5, 1, 0)),
    "simsiam-dirty": ArmStyle("#96693F", (7, 1, 0)),
    "moco-dirty": ArmStyle("#DE6B80", (8, 1, 0)),
    "barlow-dirty": ArmStyle("#7676D0", (3, 1, 90)),
    "byol-clean": ArmStyle("#7A3B8F", "X"),
    "simsiam-clean": ArmStyle("#5C3A21", "p"),
    "moco-clean": ArmStyle("#A6192E", "h"),
    "barlow-clean": ArmStyle("#3F3F9F", "d"),
    "badencoder": ArmStyle("#6B4E00", (3, 1, 0)),
}
# For arms that the table does not know: 3 colours × 8 markers, coprime, so slot k gives 24 different pairs.
_SPARE_COLORS = ("#9C7A00", "#000000", "#4E7A00")
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

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#777777",
    "ytick.color": "#777777",
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # embed TrueType outlines: journals refuse Type 3
    "svg.fonttype": "none",
    "savefig.dpi": PNG_DPI,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this context; afterwards the caller's own settings are back.

    It starts from matplotlib's defaults, not from the user's matplotlibrc. So a figure looks the same for everyone.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        cast("dict[str, Any]", matplotlib.rcParams).update(_RC)
        yield


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


def marked(look: ArmStyle, size: float) -> dict[str, Any]:
    """Colour and marker of an arm, as matplotlib takes them."""
    return {"color": look.color, "marker": look.marker, "markersize": size}


def hollow(size: float) -> dict[str, Any]:
    """The look of a point whose status is not ok."""
    return {"color": MUTED, "linestyle": "none", "marker": "o", "markersize": size, "markerfacecolor": "white"}
