"""The package as it is installed: every folder is mapped, every example runs."""

import configparser
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import case

ROOT = Path(__file__).parent.parent
ROOMS = ("analysis", "checkpoints", "figures", "probes", "representations", "training")
ITSELF = "package"
"""The folder of ``intertwine`` itself."""


def configured() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def folders() -> set[str]:
    every = (ITSELF, *ROOMS)
    return {p.parent.relative_to(ROOT).as_posix() for room in every for p in (ROOT / room).rglob("__init__.py")}


def named(folder: str) -> str:
    return "intertwine" if folder == ITSELF else f"intertwine.{folder.replace('/', '.')}"


def modules() -> list[str]:
    found = ["intertwine"]
    for room in ROOMS:
        package = importlib.import_module(f"intertwine.{room}")
        found.append(package.__name__)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return found


def test_setup_cfg_lists_every_folder_with_an_init():
    # A folder that is forgotten still imports in an editable install, and is missing from the wheel.
    listed = configured()["options"]["packages"].split()
    assert {named(f) for f in folders()} == set(listed)
    mapped = dict(line.split(" = ") for line in configured()["options"]["package_dir"].strip().splitlines())
    assert mapped == {named(f): f for f in folders()}


def test_every_room_is_typed():
    assert [room for room in (ITSELF, *ROOMS) if not (ROOT / room / "py.typed").exists()] == []


def test_examples_run_and_public_names_exist():
    for name in modules():
        with case(name):
            module = importlib.import_module(name)
            assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
            for public in getattr(module, "__all__", []):
                assert hasattr(module, public), public


def test_every_package_says_what_is_public():
    assert [f for f in folders() if not hasattr(importlib.import_module(named(f)), "__all__")] == []


@pytest.mark.parametrize("room", [f for f in (ITSELF, *ROOMS) if (ROOT / f / "__init__.pyi").exists()])
def test_importing_a_room_imports_nothing_heavy(room):
    """The stub beside ``__init__.py`` says what the room offers; it has to be in the wheel."""
    assert "*.pyi" in configured()["options.package_data"]["*"].replace(",", " ").split()
    call = f"import sys, {named(room)}; print(sorted({{'torch', 'pandas', 'numpy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_intertwine_itself_offers_what_a_user_calls():
    import intertwine
    from intertwine import analysis

    assert set(dir(intertwine)) == set(intertwine.__all__) >= {"__version__", "load", "measure", "compare", "study"}
    for name in ("load", "measure", "compare", "study", "Run", "Measurement"):
        assert getattr(intertwine, name) is getattr(analysis, name)
    with pytest.raises(AttributeError, match="nothing"):
        intertwine.nothing  # noqa: B018


def test_a_name_of_a_room_is_not_hidden_by_a_module_of_that_name():
    """``training.fit`` is the function, whether or not the module ``training/fit.py`` was imported before it."""
    for room, name in (("training", "fit"), ("representations", "capture")):
        importlib.import_module(f"intertwine.{room}.{name}")
        assert callable(getattr(importlib.import_module(f"intertwine.{room}"), name))
