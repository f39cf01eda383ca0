"""How figures look, whatever the caller's settings are."""

import subprocess
import sys

import matplotlib
import pytest
from intertwine.figures import (
    ARM_STYLES,
    ONE_COLUMN,
    arm_styles,
    dynamics,
    readings,
    style,
)

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


def test_the_callers_settings_come_back():
    with matplotlib.rc_context({"font.size": 23, "pdf.fonttype": 3}):
        with style():
            assert matplotlib.rcParams["pdf.fonttype"] == 42
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]) == (23, 3)


def test_figures_ignore_the_callers_settings_and_pyplot():
    plain = readings(frame(row()), measures=["neighbour_mixing"])
    with matplotlib.rc_context({"font.size": 23, "axes.facecolor": "red"}):
        dressed = readings(frame(row()), measures=["neighbour_mixing"])
    assert plain.axes[0].get_facecolor() == dressed.axes[0].get_facecolor()
    assert plain.axes[0].title.get_fontsize() == dressed.axes[0].title.get_fontsize()
    code = "import sys, intertwine.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_width_is_in_inches():
    figure = dynamics(history(ARMS[:1]), width=ONE_COLUMN)
    assert figure.get_size_inches()[0] == ONE_COLUMN
    with pytest.raises(ValueError, match="width: expected a positive number of inches, received -1"):
        dynamics(history(), width=-1)
