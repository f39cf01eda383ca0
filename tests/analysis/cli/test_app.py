"""The command line as a whole: mistakes are one line and exit code 2."""

import configparser
import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("measure", "/nowhere"), "'/nowhere'"),
        (("compare", "/nowhere"), "'/nowhere'"),
        (("figures", "/nowhere"), "'/nowhere'"),
    ],
)
def test_missing_runs_are_refused(run, words, expected, refused):
    refused(run(*words), expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("trian",), ("No such command 'trian'", "'train'")),
        (("train",), ("Missing argument 'recipe'",)),
        (("train", "digits-demo", "more"), ("unexpected extra argument", "more")),
        (("train", "digits-demo", "--batch_size", "3"), ("unknown option '--batch_size'", "'--batch'")),
        (("train", "digits-demo", "-e", "3"), ("unknown option '-e'",)),
        (("study", "digits-demo", "--seed", "3"), ("study: unknown option '--seed'", "'--seeds'")),
        (("study", "digits-demo", "--arm", "simclr-clean"), ("unknown option '--arm'", "'--arms'")),
        (("study", "digits-demo", "--epochs", "three"), ("epochs: expected a whole number, received 'three'",)),
        (("compare", "runs", "--deivce", "cpu"), ("compare: unknown option '--deivce'", "'--device'")),
        (("defend", "runs", "--jobs", "0"), ("--jobs", "greater than or equal to 1")),
        (("demo", "--seed", "x"), ("--seed", "integer")),
        (("zoo", "shwo"), ("No such command 'shwo'", "'show'")),
        (("--verson",), ("unknown option '--verson'", "'--version'")),
        (("measure", "zoo:digits-simclr-blend-clean", "--arch", "resnet50"), ("arch, image_size, mean", "for a run")),
    ],
)
def test_mistakes_in_words_are_one_line(run, refused, words, expected):
    refused(run(*words), *expected)


@pytest.mark.parametrize("words", [(), ("zoo",)])
def test_a_group_alone_prints_its_help(run, words):
    code, out, err = run(*words)
    assert code == 2
    assert "Usage: intertwine" in out
    assert err == ""


def test_the_entry_point_is_there():
    points = configparser.ConfigParser()
    points.read(Path(__file__).parents[3] / "setup.cfg")
    name, _, place = points["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = place.partition(":")
    assert name == "intertwine"
    assert callable(getattr(importlib.import_module(module), function))
