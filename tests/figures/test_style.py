"""How figures look: colours that can be seen apart, the caller's settings, and named styles."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from intertwine.figures import (
    ARM_STYLES,
    ONE_COLUMN,
    ROLES,
    STYLES,
    arm_styles,
    dynamics,
    readings,
    style,
)
from matplotlib.colors import to_rgb

from tests.figures.frames import ARMS, frame, history, row


def test_arms_keep_their_look_and_differ():
    known = list(ARM_STYLES.values())
    assert len({look.color for look in known}) == len({look.marker for look in known}) == len(known) == 22
    assert arm_styles(ARMS)["simclr-clean"] == arm_styles(["simclr-clean"])["simclr-clean"]


def test_unknown_arms_get_looks_of_their_own():
    names = [f"arm{i}" for i in range(24)]
    found = arm_styles(names)
    assert len({(look.color, look.marker) for look in found.values()}) == 24
    assert not {look.color for look in found.values()} & {look.color for look in ARM_STYLES.values()}
    assert len(arm_styles([f"arm{i}" for i in range(40)])) == 40  # more than there are: repeats, no endless search


def simulated(colours, kind):
    """sRGB (n, 3) in [0, 1] as seen with a full deficiency (Machado, Oliveira and Fernandes 2009), in CIE Lab."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ MACHADO[kind].T, 0, 1)
    xyz = linear @ SRGB.T / SRGB.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
MACHADO = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def ciede2000(x, y):
    """Colour differences of CIE Lab colours (n, 3) and (m, 3), as Sharma, Wu and Dalal (2005) write them: (n, m)."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(x[:, None], -1, 0), np.moveaxis(y[None], -1, 0)
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)), np.degrees(np.arctan2(b2, a2))
    turn = np.where(c1 * c2 == 0, 0, (h2 - h1 + 180) % 360 - 180)
    hue = np.where(c1 * c2 == 0, h1 + h2, h1 + turn / 2)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.2 * _cos(4 * hue - 63)
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * c * t)
    rotation = (
        -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-((((hue % 360) - 275) / 25) ** 2))))
    )
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def _cos(degrees):
    return np.cos(np.radians(degrees))


def closest(colours, kind):
    lab = simulated(np.array([to_rgb(colour) for colour in colours]), kind)
    distances = ciede2000(lab, lab)
    return distances[np.triu_indices(len(colours), 1)].min()


def test_the_colour_difference_is_the_published_one():
    """Pairs of the table of Sharma, Wu and Dalal (2005)."""
    for x, y, expected in (
        ([50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425),
        ([50, 2.49, -0.001], [50, -2.49, 0.0009], 7.1792),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ([2.0776, 0.0795, -1.1350], [0.9033, -0.0636, -0.5514], 0.9082),
    ):
        assert ciede2000(np.array([x]), np.array([y]))[0, 0] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("kind", MACHADO)
def test_any_two_arms_can_be_seen_apart(kind):
    assert closest([look.color for look in ARM_STYLES.values()], kind) >= 10
    assert closest(["#CDA893", "#93A88A", "#B3A2BC", "#A8998C"], kind) < 10, "the former greys of benign arms"


@pytest.mark.parametrize("kind", MACHADO)
def test_roles_can_be_seen_apart_and_are_no_arms_colours(kind):
    assert closest(list(ROLES.values()), kind) >= 10
    arms = {look.color for look in ARM_STYLES.values()}
    assert not arms & set(ROLES.values())
    for role in ("target", "hits"):
        assert min(closest([ROLES[role], arm], "normal") for arm in arms) >= 10


def test_the_callers_settings_come_back():
    with matplotlib.rc_context({"font.size": 23}):
        with style():
            assert matplotlib.rcParams["font.size"] == 7
        assert matplotlib.rcParams["font.size"] == 23


def test_figures_honour_the_callers_settings_unless_a_style_is_named():
    table = frame(row())
    with matplotlib.rc_context({"font.size": 23, "axes.titlesize": 21, "axes.facecolor": "red"}):
        theirs = readings(table, measures=["neighbour_mixing"]).axes[0]
        with style("usenix"):
            named = readings(table, measures=["neighbour_mixing"])
    with style("usenix"):
        plain = readings(table, measures=["neighbour_mixing"])
    assert theirs.get_facecolor() == (1, 0, 0, 1)
    assert theirs.title.get_fontsize() == 21
    assert named.axes[0].get_facecolor() == plain.axes[0].get_facecolor() != theirs.get_facecolor()
    assert named.axes[0].title.get_fontsize() == plain.axes[0].title.get_fontsize() == 9
    assert named.get_size_inches()[0] == STYLES["usenix"].two_columns
    assert "STIXGeneral" in named.axes[0].title.get_fontfamily()


def test_without_a_style_figures_are_as_wide_as_the_callers():
    with matplotlib.rc_context({"figure.figsize": (5.5, 2)}):
        assert dynamics(history(ARMS[:1])).get_size_inches()[0] == 5.5


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="style: expected one of intertwine, usenix, nature, slides, received 'ieee'"):  # noqa: SIM117
        with style("ieee"):
            pass


def test_pyplot_is_not_imported():
    code = "import sys, intertwine.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_width_is_in_inches():
    figure = dynamics(history(ARMS[:1]), width=ONE_COLUMN)
    assert figure.get_size_inches()[0] == ONE_COLUMN
    with pytest.raises(ValueError, match="width: expected a positive number of inches, received -1"):
        dynamics(history(), width=-1)
