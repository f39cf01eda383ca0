"""``intertwine study --plan``: what it prints, that it trains nothing, and how it refuses."""

import json

from intertwine.analysis.results.table import write_rows

from tests.analysis.claim_rows import APART, study_of


def test_a_plan_is_printed_and_nothing_is_written(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("study", "digits-demo", "--plan", "--seeds", 10, "--arms", "supervised-dirty")
    assert "need supervised-clean, simclr-dirty, simclr-clean cannot come out" in " ".join(out.split())
    assert code == 0
    assert "largest SD for 10 seeds" in out
    assert "within ±0.15" in out
    assert "C4" not in out, "one arm has no contrast"
    assert not list(tmp_path.iterdir())


def test_a_pilot_is_a_table_or_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # so that no title is wrapped
    (tmp_path / "pilot").mkdir()
    write_rows(study_of({"supervised-dirty": APART}, sd=0.2), tmp_path / "pilot" / "rows.csv")
    words = ("study", "digits-demo", "--plan", "--arms", "supervised-dirty", "--json", "--pilot")
    plans = [json.loads(run(*words, path)[1]) for path in (tmp_path / "pilot", tmp_path / "pilot" / "rows.csv")]
    assert plans[0] == plans[1]
    assert all(line["seeds_to_support"] >= 10 and line["spread"] > 0 for line in plans[0])
    code, out, _ = run(*words[:5], "--pilot", tmp_path / "pilot")
    assert code == 0
    assert "seeds to refute" in out


def test_what_it_refuses(run, refused, tmp_path):
    refused(run("study", "digits-demo", "--pilot", tmp_path), "pilot: expected --plan with it")
    refused(run("study", "digits-demo", "--plan", "--pilot", tmp_path / "no.csv"), "rows: ", "is not there")
    refused(run("study", "digits-demo", "--plan", "--seeds", 0), "seeds: expected at least 1, received 0")
    refused(run("study", "digits-demo", "--plan", "--arms", "simclr"), "arms: expected some of", "received 'simclr'")
