"""``intertwine compare``: what it joins, judges and draws, and how it refuses."""

import json
import re

from intertwine.analysis.results.table import read_rows


def test_compare_joins_benign_twins_judges_draws_and_reports(compared):
    _, out, rows, claims, written = compared
    assert all(path.is_file() for path in written)
    assert {p.relative_to(out).as_posix() for p in written} >= {
        *("rows.csv", "claims.csv", "report.md"),
        *(
            f"figures/{n}.{s}"
            for n in ("dynamics", "embeddings", "readings", "alignment", "triggers")
            for s in ("pdf", "png")
        ),
        *("figures/readings-1col.pdf",),
    }
    assert set(rows.arm) == {"supervised-benign", "supervised-dirty"}
    benign_twins = rows[rows.reference == "benign"]
    assert set(benign_twins.run) == {"supervised-dirty/seed0"}
    assert set(benign_twins.other_run) == {"supervised-benign/seed0"}
    assert set(claims.claim) == {"C2"}
    report = (out / "report.md").read_text()
    for link in re.findall(r"\]\((figures/[^)]+)\)", report):
        assert (out / link).is_file()
    assert "supervised-dirty" in report
    assert "indicative" in report or "not evaluable" in report


def test_the_benign_asr_of_a_run_is_what_its_clean_twin_measures_itself(compared):
    rows = compared[2]
    asr = rows[(rows.measure == "asr") & (rows.evaluator == "knn")]
    benign = asr[asr.reference == "benign"].iloc[0]
    own = asr[(asr.arm == "supervised-benign") & (asr.reference == "")].iloc[0]
    assert benign.value == own.value


def test_two_encoders_are_set_side_by_side(run, small_runs, tmp_path):
    dirty, benign = (small_runs / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign"))
    few = ["--readings", "purity", "--layers", "features,layer2", "--images", "100", "--device", "cpu"]
    code, out, err = run("compare", dirty, benign, *few, "--out", tmp_path / "out")
    assert code == 0, err
    assert out.startswith(
        "A  supervised-dirty/seed0\nB  supervised-benign/seed0\non 100 clean held-out images of digits\n"
    )
    assert "In short: CKA of the outputs is" in out
    assert (tmp_path / "out/cka.png").is_file()
    assert len(read_rows(tmp_path / "out/rows.csv").query("kind == 'pair'")) == 4
    code, out, _ = run("compare", dirty, benign, *few, "--json", "--out", tmp_path / "out")
    assert {line["measure"] for line in json.loads(out)} >= {"purity", "cka", "asr"}


def test_what_does_not_fit_is_refused(run, refused, small_runs, tmp_path):
    dirty, benign = (small_runs / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign"))
    refused(run("compare", dirty, benign, "--pair", "a,b"), "pair: expected with runs of several arms")
    refused(run("compare", small_runs, "--arch", "resnet18"), "arch: expected with two encoders, received with runs")
    for pair in ("supervised-dirty", "supervised-dirty,supervised-dirty", "supervised-dirty,other", "a,b,c"):
        refused(run("compare", small_runs, "--pair", pair, "--out", tmp_path), "pair: expected two arms")
    refused(run("compare", "zoo:digits-simclr-sig-clea", dirty), "did you mean 'digits-simclr-sig-clean'")
    refused(run("compare", tmp_path / "none", dirty), "which is not there")
