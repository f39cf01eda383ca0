"""Numbers of the pages, from planted and from committed tables."""

import json

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis.claims.learning_claims import judge, predicates
from intertwine.analysis.results.table import final_rows, find_table
from intertwine.training.arms import ARMS

from evidence import STUDIES
from evidence.collect import crossed, ctrl, form, published, studies, training, tried


def test_numbers_are_told_with_a_dash_for_what_is_missing():
    assert form.number(0.12345) == "0.123"
    assert form.number(-0.0001) == "0.000"
    assert [form.number(value) for value in (None, "", float("nan"))] == ["–"] * 3
    assert form.with_interval(0.5, 0.25, 0.75) == "0.500 [0.250, 0.750]"
    assert form.with_interval(0.5, "", "") == "0.500"
    assert form.over_seeds(pd.Series([0.1, 0.2, 0.3])) == "0.200 [-0.048, 0.448]"
    assert form.between([0.2, None, 0.1], 1) == "0.1 to 0.2"
    assert form.between([0.1, 0.1], 1) == "0.1"
    run = pd.Series({"machine": "two cores", "torch": "2.6.0+cpu", "commit": "0123456789abcdef+changes"})
    assert form.made_by(run) == "two cores, torch 2.6.0; 0123456+changes"


@pytest.fixture
def planted(monkeypatch):
    """Three seeds of one arm: the attack works in the first two, by the other evaluator in the second alone, and the
    reading of mixing is undefined in the second."""
    place = {"kind": "reading", "layer": "features", "arm": "simclr-clean", "status": "ok", "subset": "triggered"}
    lines = []
    for seed, (knn, ridge, mixing) in enumerate([(0.9, 0.2, 0.5), (0.8, 0.9, np.nan), (0.3, 0.9, 0.7)]):
        for reference, share in (("", 1.0), ("benign", 0.1), ("random-trigger", 0.05)):
            for evaluator, value in (("knn", knn), ("ridge", ridge)):
                line = {"seed": seed, "measure": "asr", "reference": reference, "evaluator": evaluator}
                lines.append(place | line | {"value": value * share})
        for reference, value in (("", mixing), ("benign", 0.1)):
            status = "ok" if value == value else "undefined"
            line = {"seed": seed, "measure": "neighbour_mixing", "subset": "hits", "reference": reference}
            lines.append(place | line | {"evaluator": "", "value": value, "status": status})
            line = {"seed": seed, "measure": "gradient_alignment", "layer": "all", "subset": "clean_other"}
            lines.append(place | line | {"evaluator": "", "value": value, "reference": reference, "status": status})
    monkeypatch.setattr(studies, "DATA", {"cifar10-sig": "planted"})
    monkeypatch.setattr(studies, "decides", lambda study: "knn")
    monkeypatch.setattr(studies, "rows_of", lambda study: pd.DataFrame(lines))
    monkeypatch.setattr(studies, "readings", studies.readings.__wrapped__)


def test_readings_are_those_of_seeds_in_which_the_attack_works(planted):
    found = studies.readings()["cifar10-sig", "simclr-clean"]
    assert found.works.tolist() == [True, True, False]
    assert found.agree.tolist() == [False, True, False]
    assert found.mixing[""].dropna().tolist() == [0.5]
    assert found.asr["random-trigger"].tolist() == pytest.approx([0.045, 0.04, 0.015])
    line = studies.readings_table().iloc[0]
    assert line["attack works"] == "2 of 3 (1 by both)"
    assert line["mixing of hits"] == "0.500"
    assert line["twin's mixing"] == "0.100"


@pytest.mark.parametrize("study", crossed.CROSSED)
def test_a_rate_of_a_study_is_the_one_that_its_training_reported(study):
    runs = pd.read_csv(find_table(STUDIES / study, "history.csv"))
    last = runs[(runs["arm"] == "supervised-clean") & (runs["epoch"] == runs["epoch"].max())].set_index("seed")["asr"]
    rows = final_rows(crossed.rows_of(study))
    ours = rows[(rows["arm"] == "supervised-clean") & (rows["measure"] == "asr") & (rows["reference"] == "")]
    ours = ours[(ours["evaluator"] == "knn") & (ours["kind"] == "reading") & (ours["layer"] == "features")]
    # Training searches all of its images for neighbours, the panel a bank of 5,000, which is half of them on CIFAR-10.
    assert ours.set_index("seed")["value"].to_dict() == pytest.approx(last.to_dict(), abs=0.08)


@pytest.mark.parametrize("study", crossed.CROSSED)
def test_verdicts_of_a_crossed_study_follow_from_its_rows(study):
    again, committed = judge(crossed.rows_of(study)), pd.read_csv(STUDIES / study / "claims.csv", keep_default_na=False)
    key = ["claim", "family", "arm", "against", "measure"]
    assert again[key].to_numpy().tolist() == committed[key].to_numpy().tolist()
    assert again["verdict"].tolist() == committed["verdict"].tolist()
    for column in ("effect", "ci_low", "ci_high", "p_holm", "p_fail_holm"):
        numbers = pd.to_numeric(committed[column], errors="coerce")
        np.testing.assert_allclose(again[column].astype(float), numbers, rtol=1e-6, err_msg=column)


@pytest.mark.parametrize("study", crossed.CROSSED)
def test_the_rules_of_a_crossed_study_are_those_of_this_code(study):
    registered = json.loads((STUDIES / study / "predicates.json").read_text())
    assert registered == json.loads(json.dumps(predicates())) | {"evaluator": registered["evaluator"]}


def test_the_tables_of_crossed_studies_have_every_cell_and_contrast():
    for study in crossed.CROSSED:
        assert list(crossed.cells(study)["arm"]) == [
            f"{learner}-{poison}" for learner in ("supervised", "supcon", "simclr") for poison in ("dirty", "clean")
        ]
    found = crossed.factors()
    assert set(found["effect of"]) == {"learner", "poison", "interaction"}
    assert len(crossed.verdicts()) == 7


def test_a_number_of_ours_is_that_of_the_arm_that_is_named():
    poisoned = published.on_gpu("simclr-clean", "asr")
    benign = published.on_gpu("simclr-benign", "asr")
    assert poisoned["ours"] != benign["ours"] == poisoned["benign"]
    assert np.isnan(benign["benign"])


def test_every_published_number_that_names_ours_finds_it_once():
    found = published.comparison()
    assert len(found) == len(form.read("external"))
    assert found.loc[found["table"] != "", "ours"].notna().all()
    assert found.loc[found["table"] == "", "ours"].isna().all()
    ours = found[found["table"] != ""]
    assert ours["ours"].between(ours["low"] - 1e-9, ours["high"] + 1e-9).all()


def test_opposite_outcomes_lie_on_either_side_of_a_half():
    found = published.outcomes()
    assert set(found["metric"]) <= {"ASR", "TPR"}
    assert not ((found["what"] == "ABL") & (found["metric"] == "TPR")).any(), "it cannot reach a half here"
    above = found["ours"] > 0.5
    assert (found["opposite"] == (above != (found["value"] > 50))).all()
    assert 0 < found["opposite"].sum() < len(found)


def test_a_setting_without_a_twin_is_unknown_unless_its_asr_is_low():
    asr, benign = pd.Series([0.2, 0.9, 0.9]), pd.Series([np.nan, np.nan, 0.1])
    assert tried.worked(asr, benign) == "1 of 3, 1 without a twin"
    assert tried.worked(asr[2:], benign[2:]) == "1 of 1"


def test_the_studies_that_were_removed_are_all_in_one_table():
    table = form.read("removed_studies")
    assert set(table["study"]) == {
        *("cifar10", "cifar10-ridge", "fashion", "fashion-blend", "fractions", "defences-fashion", "defences-cifar10")
    }
    assert set(table["arm"]) <= set(ARMS)
    assert set(table["verdict_then"].str.removeprefix("indicative: ")) <= {
        *("supported", "not supported", "inconclusive", "not evaluable")
    }
    assert (table["attack_worked"] <= table["seeds"].str.split().str.len()).all()
    assert set(tried.removed()["study"]) == set(tried.removed_studies()["study"]) == set(table["study"])


def test_both_logs_are_whole():
    for name in ("first", "second"):
        assert ctrl.log(name)["epoch"].tolist() == list(range(1, 1000, 5))
    assert ctrl.log("second").iloc[-1][["acc", "asr"]].tolist() == [90.5, 18.26]
    assert ctrl.logs_table().iloc[2]["first: ASR"] == "1–97"


def test_no_attack_worked_on_the_gpu():
    runs = ctrl.gpu_runs()
    assert runs["above_twin"].max() < 0.3
    assert (runs.loc[[ARMS[arm].benign == arm for arm in runs["arm"]], "above_twin"] == 0).all()


def test_an_attack_works_where_its_asr_exceeds_the_twins():
    table = training.attacks()
    asr = table["ASR (95 %)"].str.split().str[0].astype(float)
    assert ((asr - table["twin's ASR"].astype(float) >= 0.3) == (table["works"] == "yes")).all()
    assert (table.groupby("attack")["arm"].agg(lambda arms: arms.str.startswith("**").sum()) == 1).all()
