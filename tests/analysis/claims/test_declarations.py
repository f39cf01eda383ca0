"""Predicates of C5 are written down before anything is tried, and held to."""

import json

import pytest
from intertwine.analysis.claims import declarations
from intertwine.analysis.claims.declarations import PREDICATES_C5, declare_c5, declared_evaluator
from intertwine.representations.errors import InputError


def test_they_stand_once_they_are_written(tmp_path):
    assert declared_evaluator(tmp_path) == "knn", "nothing is declared: the default"
    declare_c5(tmp_path, "ridge")
    before = (tmp_path / PREDICATES_C5).read_bytes()
    declare_c5(tmp_path, "ridge")
    assert (tmp_path / PREDICATES_C5).read_bytes() == before
    assert declared_evaluator(tmp_path) == "ridge"
    assert json.loads(before)["evaluator"] == "ridge"
    with pytest.raises(InputError, match=r"evaluator: expected ridge, by which .* was begun, received knn"):
        declare_c5(tmp_path, "knn")


def test_other_predicates_ask_for_another_folder(tmp_path, monkeypatch):
    declare_c5(tmp_path, "knn")
    assert "evaluator" not in json.loads((tmp_path / PREDICATES_C5).read_text())
    monkeypatch.setattr(declarations, "predicates_c5", lambda evaluator: {"level": 0.5})
    with pytest.raises(InputError, match=r"out: expected the predicates of this version in .*, received others"):
        declare_c5(tmp_path, "knn")


def test_what_cannot_be_read_is_named(tmp_path):
    for content, message in (
        ("[]", r"predicates_c5\.json cannot be read"),
        ("{", r"predicates_c5\.json cannot be read"),
        ('{"evaluator": "svm"}', "expected one of knn, ridge, received 'svm'"),
    ):
        (tmp_path / PREDICATES_C5).write_text(content)
        with pytest.raises(InputError, match=message):
            declared_evaluator(tmp_path)
