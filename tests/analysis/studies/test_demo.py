"""The demo trains five arms of one plan, and compares them."""

import sys

from intertwine.analysis.studies.demo import DEMO_ARMS, QUICK_NOTICE, demo
from intertwine.training.arms import ARMS

MODULE = sys.modules[demo.__module__]


def test_it_trains_its_arms_and_hands_them_to_the_comparison(tmp_path, monkeypatch):
    trained, told, lines = [], {}, []
    monkeypatch.setattr(MODULE, "fit", lambda recipe, out, **_: trained.append(recipe) or out)
    monkeypatch.setattr(MODULE, "compare", lambda folders, out, **more: told.update(more, folders=folders) or "all")
    assert demo(tmp_path, seed=3, quick=True, log=lines.append) == "all"
    assert [recipe.arm for recipe in trained] == list(DEMO_ARMS)
    assert {(recipe.seed, recipe.epochs, recipe.name) for recipe in trained} == {(3, 4, "digits-demo-quick")}
    assert told["folders"] == [tmp_path / arm / "seed3" for arm in DEMO_ARMS]
    assert told["notice"] == QUICK_NOTICE
    assert (told["options"].layers, told["options"].images) == (("features",), 200)
    assert lines[0] == "[1/5] training supervised-benign"
    trained.clear()
    demo(tmp_path)
    assert {recipe.name for recipe in trained} == {"digits-demo"}
    assert (told["notice"], told["options"]) == ("", None)


def test_every_poisoned_arm_has_its_benign_twin_among_them():
    assert {ARMS[arm].benign for arm in DEMO_ARMS} <= set(DEMO_ARMS)
