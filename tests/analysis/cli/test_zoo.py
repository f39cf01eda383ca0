"""``intertwine zoo``, and ``intertwine measure`` of what is in it."""

import json

from intertwine.analysis.results.table import read_rows
from intertwine.checkpoints.shipped import index

NAME = "digits-simclr-blend-clean"


def test_list_show_and_verify(run):
    assert {line["name"] for line in json.loads(run("zoo", "list", "--json")[1])} == set(index())
    assert NAME in run("zoo", "list")[1]
    for name in (NAME, f"zoo:{NAME}"):
        assert json.loads(run("zoo", "show", name)[1])["recipe"]["trigger"] == "blend"
    assert json.loads(run("zoo", "verify", NAME, "--json")[1])[0]["status"] == "agrees"
    assert run("zoo", "verify", f"zoo:{NAME}")[0] == 0


def test_measuring_a_part_does_not_take_the_place_of_the_whole(run, refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ("measure", f"zoo:{NAME}", "--readings", "cheap")
    refused(run(*words), "out: expected a folder with --layers, --readings")
    assert run(*words, "--out", "x")[0] == 0
    assert "benign" in set(read_rows(tmp_path / "x/rows.csv")["reference"]), "its benign twin is taken by itself"
