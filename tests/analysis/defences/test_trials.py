"""Cells of defence and run are done once; tables over seeds say what the rows say."""

import pandas as pd
import pytest
from intertwine.analysis import engines
from intertwine.analysis.defence_report import detection_table, mitigation_table
from intertwine.analysis.rows import COLUMNS, read_rows
from intertwine.analysis.trials import defend
from intertwine.representations.errors import InputError

FEW = {"only": ["spectral", "luminance"], "device": "cpu", "engine": "here"}


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "here", lambda work, tasks, lost, *, jobs, threads: map(work, tasks))


def test_cells_are_done_once_and_again_when_their_table_was_touched(small_runs, tmp_path):
    lines: list[str] = []
    rows, _ = defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert "0 of 3 cells are done already" in lines, "mitigations are tried on poisoned runs only"
    assert all("s CPU" in line for line in lines[1:])
    pd.testing.assert_frame_equal(read_rows(tmp_path / "defences.csv"), rows, check_dtype=False)
    assert (tmp_path / "defences.md").read_text().startswith("# What survives")
    lines.clear()
    again, _ = defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert lines == ["3 of 3 cells are done already"]
    pd.testing.assert_frame_equal(again, rows)
    cell = small_runs / "supervised-dirty" / "seed0" / "defences" / "spectral.csv"
    cell.write_text(cell.read_text().replace(",ok", ",undefined"))
    lines.clear()
    defend([small_runs], tmp_path, **FEW, log=lines.append)
    assert lines[0] == "2 of 3 cells are done already"
    lines.clear()
    defend([small_runs], tmp_path, **FEW, budget=0.2, log=lines.append)
    assert lines[0] == "0 of 3 cells are done already", "another budget is another cell"


def test_what_it_refuses(small_runs, tmp_path):
    with pytest.raises(InputError, match=r"only: expected some of activation-clustering, .* received 'magic'"):
        defend([small_runs], tmp_path / "out", **FEW | {"only": ["magic"]})
    clean = small_runs / "clean-supervised"
    with pytest.raises(InputError, match="run: expected poisoned runs with their clean twins"):
        defend([clean], tmp_path / "out", **FEW | {"only": ["luminance"]})
    assert not (tmp_path / "out").exists()


def rows_of(*records):
    return pd.DataFrame([dict.fromkeys(COLUMNS, "") | {"epoch": 9, "x": None, "status": "ok"} | r for r in records])


def test_the_table_of_detection_averages_seeds_by_source_of_labels():
    def row(seed, value, measure="detection_auroc", status="ok", labels="pseudo"):
        return {"run": f"contrastive/seed{seed}", "arm": "contrastive", "seed": seed, "measure": measure} | {
            "value": value,
            "status": status,
            "params": f"defence=scan;labels={labels}",
        }

    rows = rows_of(
        *(row(0, 0.6), row(1, 0.8), row(2, float("nan"), status="undefined")),
        *(row(0, 0.1, "detection_fpr"), row(1, 0.3, "detection_fpr"), row(0, 0.9, labels="true")),
    )
    pseudo, true = detection_table(rows).to_dict("records")
    assert (pseudo["labels"], pseudo["AUROC"], pseudo["FPR"], pseudo["TPR"]) == ("pseudo", "0.700", "0.200", "–")
    assert pseudo["seeds"] == "2 of 3"
    assert (true["labels"], true["AUROC"], true["seeds"]) == ("true", "0.900", "1 of 1")


def test_the_table_of_mitigation_pairs_runs_with_what_they_were():
    def row(seed, measure, value, reference="", defence=""):
        params = "evaluator=knn" + (f";defence={defence}" if defence else "")
        return {"run": f"contrastive/seed{seed}", "arm": "contrastive", "seed": seed, "measure": measure} | {
            "value": value,
            "reference": reference,
            "layer": "features",
            "params": params,
        }

    before = rows_of(
        *(row(s, m, v, ref) for s in (0, 1) for m, v, ref in (("acc", 0.9, ""), ("asr", 1.0, ""))),
        *(row(s, m, v, "floor") for s in (0, 1) for m, v in (("acc", 0.95), ("asr", 0.1))),
    )
    after = rows_of(
        *(row(0, "acc", 0.8, defence="clp"), row(0, "asr", 0.4, defence="clp")),
        *(row(1, "acc", 0.7, defence="clp"), row(1, "asr", 0.2, defence="clp")),
        *(row(s, "acc", 0.9, "floor", "clp") for s in (0, 1)),
        *(row(s, "asr", 0.05, "floor", "clp") for s in (0, 1)),
    )
    (line,) = mitigation_table(after, before).to_dict("records")
    assert (line["ASR before"], line["ASR after"], line["its floor"]) == ("1.000", "0.300", "0.050")
    assert (line["ACC lost"], line["clean encoder's ACC lost"], line["seeds"]) == ("0.150", "0.050", "2")
