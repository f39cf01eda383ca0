"""``intertwine compare``: what it joins, judges and draws, and how it refuses."""

import re


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
