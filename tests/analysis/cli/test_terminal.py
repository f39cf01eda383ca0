"""What commands print: whole at every width, in every encoding, and with a bar for what takes long."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from intertwine.analysis.claims.learning_claims import judge
from intertwine.analysis.cli import terminal
from intertwine.analysis.reports.claims_tables import claims_table, plan_table
from intertwine.analysis.reports.readings_table import every_reading, readings_table
from intertwine.analysis.results.table import final_rows, read_rows
from intertwine.analysis.runs.zoo import listing
from intertwine.analysis.studies.study import STUDY_ARMS, with_benign_twins

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of, twins_of

WIDTHS = [80, 100, 160]
EMPTY = ("", "–", "nan")


@pytest.fixture(params=WIDTHS)
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def is_whole(text, table, width):
    """No line is too long, and every word of every cell is there."""
    assert "…" not in text
    assert "..." not in text
    longest = max(text.splitlines(), key=len)
    assert len(longest) <= width, longest
    words = set(text.split())
    for column in table.columns:
        for cell in table[column].astype(str):
            if cell not in EMPTY:
                assert set(cell.split()) <= words, (column, cell)


def test_the_list_of_the_zoo_is_whole(run, width):
    code, out, _ = run("zoo", "list")
    assert code == 0
    is_whole(out, listing()[["name", "data", "arm", "seed"]], width)
    assert len(out.splitlines()) < 1.2 * len(listing()) + 10, "a line an encoder"


def test_a_plan_is_whole(run, width):
    code, out, _ = run("study", "digits-demo", "--plan")
    assert code == 0
    is_whole(out, plan_table(with_benign_twins(STUDY_ARMS), 3, None).drop(columns="level"), width)


def test_a_measured_run_is_answered_first_and_shown_whole_on_demand(run, small_runs, tmp_path, width):
    words = ("measure", small_runs / "supervised-dirty/seed0", "--benign", small_runs / "supervised-benign/seed0")
    words += ("--readings", "cheap", "--images", "100", "--bank", "100", "--out", "x")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        code, out, _ = run(*words)
        _, everything, _ = run(*words, "--all")
    assert code == 0
    assert out.startswith("supervised-dirty, seed 0, recipe small, 2 epochs.")
    assert len(out.splitlines()) <= 25
    assert max(map(len, out.splitlines())) <= width
    assert "\nIn short: " in out
    assert "rows.csv" in out
    assert "\nNext: " in out
    rows = read_rows(tmp_path / "x/rows.csv")
    is_whole(everything, every_reading(rows), width)
    assert "\nIn short: " in everything
    assert len(every_reading(rows)) == (rows["reference"] == "").sum(), "all of them"


def shown(rows, claims, capsys, **options):
    terminal.show(rows, claims, [], False, "", "1 s", **options)
    return capsys.readouterr().out


def test_a_study_has_a_line_a_verdict_and_is_shown_whole_on_demand(width, capsys):
    rows = twins_of(study_of(dict(zip(CELLS, (APART, APART, ONE, ONE), strict=True)), natural=(0.9, 100)), 0.2, 0.1)
    claims = judge(rows)
    out = shown(rows, claims, capsys)
    lines = out.splitlines()
    assert len(lines) <= 25
    for arm in CELLS:
        assert len([line for line in lines if line.startswith(("C2  ", "C3  ")) and f" {arm} " in line]) == 1
    everything = shown(rows, claims, capsys, every=True)
    for table in (claims_table(claims), readings_table(final_rows(rows))):
        is_whole(everything, table, width)


def test_files_are_grouped_by_folder_and_what_to_open_is_named(tmp_path, capsys):
    written = [tmp_path / name for name in ("rows.csv", "figures/a.pdf", "figures/b.pdf", "report.md", "report.html")]
    terminal.files(written, "1 s")
    out = capsys.readouterr().out
    assert all(path.name in out for path in written)
    assert f"Open {tmp_path / 'report.html'} first." in out
    terminal.files(written[:3], "1 s")
    assert "Open " not in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437", "ascii"])
@pytest.mark.parametrize("words", [("presets",), ("measure", "--help")], ids=" ".join)
def test_no_output_fails_for_want_of_a_character(encoding, words):
    main = "from intertwine.analysis.cli.app import main; main()"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", main, *words], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert done.stdout.decode(encoding)


def test_plain_characters_stand_for_those_that_a_terminal_lacks(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **options: None, raising=False)
    monkeypatch.setattr(type(sys.stdout), "encoding", "ascii", raising=False)
    terminal.say("0.004  ├◉───···│··┤ –")
    assert capsys.readouterr().out == "0.004  [@---...+..] -\n"


def test_a_bar_has_the_time_that_is_left_and_starts_again_with_other_work(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with terminal.progress() as (log, bar):
        log("measuring something")
        bar(0, 3, "readings")
        bar(3, 3, "readings")
        bar(1, 4, "figures")
        bar(2, 4, {"loss": 0.5, "acc": float("nan"), "asr": 0.25})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "measuring something" in captured.err
    assert "2/4" in captured.err
    assert "epochs  loss 0.500  asr 0.250" in captured.err
    assert "ETA" in captured.err


def test_every_reading_of_a_run_is_a_line_with_all_its_references():
    rows = study_of({"simclr-clean": ONE}, seeds=1, natural=(0.9, 100))
    table = every_reading(rows)
    line = table[table["reading"] == "smaller_side_mixing (hits)"].iloc[0]
    assert (line["together"], line["false positives"], line["layer"]) == ("0.900", "0.900", "features")
    assert isinstance(table, pd.DataFrame)
    assert "note" not in table.columns, "columns without content are left out"
