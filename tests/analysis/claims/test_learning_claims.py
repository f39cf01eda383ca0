"""Verdicts on planted rows: every claim can be supported and not supported, and what is missing is named."""

import json
import math

import pandas as pd
import pytest
from intertwine.analysis import judge
from intertwine.analysis.claims.learning_claims import CLAIM_COLUMNS, REGISTERED, claims_about, predicates
from scipy import stats

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of, verdicts
from tests.factories import case, row, table

SUPERVISED, CONTRASTIVE = CELLS[:2], CELLS[2:]
LEARNER, POISON = ("C4", "simclr", "supervised"), ("C4", "clean", "dirty")
INTERACTION = ("C4", "simclr − supervised, clean", "dirty")


def test_planted_perfect_cases_are_supported():
    found = verdicts(judge(study_of(dict.fromkeys(SUPERVISED, APART) | dict.fromkeys(CONTRASTIVE, ONE))))
    assert {found["C2", arm, ""] for arm in SUPERVISED} == {"supported"}
    assert {found["C3", arm, ""] for arm in CONTRASTIVE} == {"supported"}
    assert found[LEARNER] == "supported"
    assert (found[POISON], found[INTERACTION]) == ("not supported", "not supported"), "only the learner matters"
    mixed = {arm: ONE if arm == "simclr-clean" else APART for arm in CELLS}
    found = verdicts(judge(study_of(mixed)))
    assert (found[LEARNER], found[POISON], found[INTERACTION]) == ("supported",) * 3


def test_opposite_cases_are_not_supported():
    found = verdicts(judge(study_of(dict.fromkeys(SUPERVISED, ONE) | dict.fromkeys(CONTRASTIVE, APART))))
    assert len(found) == 7
    assert set(found.values()) == {"not supported"}


def test_one_part_that_fails_is_enough():
    for arm, values in (
        ("supervised-dirty", (0.5, 0.0, 0.0)),
        ("supervised-dirty", (0.0, 0.5, 0.0)),
        ("supervised-dirty", (0.0, 0.0, 0.4)),
        ("supervised-dirty", (0.0, 0.0, -0.4)),  # negative alignment is shared weights as well
        ("simclr-clean", (0.9, 0.0, 0.0)),
        ("simclr-clean", (0.1, 0.8, 0.0)),
    ):
        with case(arm, values):
            assert set(judge(study_of({arm: values})).verdict) == {"not supported"}


def test_interference_decides_nothing_in_c3_and_counts_by_its_size_in_c4():
    found = verdicts(judge(study_of({"simclr-clean": (0.9, 0.8, 0.0)})))
    assert found == {("C3", "simclr-clean", ""): "supported"}
    values = dict.fromkeys(SUPERVISED, APART) | dict.fromkeys(CONTRASTIVE, (0.9, 0.8, -0.6))
    assert verdicts(judge(study_of(values)))[LEARNER] == "supported"


def test_hits_are_compared_with_false_positives_where_there_are_enough():
    # Natural false positives of this encoder mix little, so that hits mix as they do.
    for natural, expected, why in (
        ((0.2, 20), "supported", "over false-positives (10)"),
        ((0.2, 19), "not supported", "over together (10)"),
        (None, "not supported", "over together (10)"),
        ((0.6, 500), "not supported", "over false-positives (10)"),
    ):
        with case(natural):
            claims = judge(study_of({"simclr-clean": (0.18, 0.8, 0.3)}, natural=natural))
            assert set(claims.verdict) == {expected}
            assert claims.why[0] == why
    ratio = judge(study_of({"simclr-clean": (0.18, 0.8, 0.3)}, natural=(0.2, 20), sd=0.0)).iloc[0]
    assert (ratio.measure, ratio.effect) == ("mixing_ratio", pytest.approx(0.9))
    assert (
        judge(study_of({"simclr-clean": (0.18, 0.8, 0.3)}, natural=(0.0, 30)))
        .why[0]
        .endswith("seed 9: smaller_side_mixing of false-positives is 0, no ratio")
    )


def test_ten_seeds_are_a_verdict_and_fewer_are_indicative():
    for seeds, expected in ((1, "indicative: supported"), (9, "indicative: supported"), (10, "supported")):
        with case(seeds):
            claims = judge(study_of({"supervised-dirty": APART}, seeds=seeds))
            assert set(claims.verdict) == {expected}
            assert set(claims.seeds) == {seeds}


def test_one_run_is_judged_by_the_intervals_over_its_images():
    for arm, values, half, expected in (
        ("supervised-dirty", APART, 0.02, "supported"),
        ("supervised-dirty", APART, 0.2, "inconclusive"),  # no evidence of a difference is no evidence of none
        ("supervised-dirty", (0.4, 0.0, 0.0), 0.02, "not supported"),
        ("supervised-dirty", (0.1, 0.0, 0.0), 0.02, "inconclusive"),
        ("simclr-clean", ONE, 0.02, "supported"),
        ("simclr-clean", (0.9, 0.2, 0.0), 0.02, "inconclusive"),
        ("simclr-clean", (0.0, 0.8, 0.0), 0.02, "not supported"),
    ):
        with case(arm, values, half):
            claims = judge(study_of({arm: values}, seeds=1, sd=0.0, half=half))
            assert set(claims.verdict) == {f"indicative: {expected}"}
            assert claims.p.isna().all()
            assert claims.p_holm.isna().all()
    first = judge(study_of({"supervised-dirty": APART}, seeds=1, sd=0.0, half=0.02)).iloc[0]
    assert (first.ci_low, first.ci_high) == pytest.approx((-0.02, 0.02))
    assert (first.ci90_low, first.ci90_high) == pytest.approx((-0.02 * 1.6449 / 1.96, 0.02 * 1.6449 / 1.96), rel=1e-3)


def test_a_failed_attack_is_an_outcome_and_no_evidence():
    """A failed backdoor looks independent: it must not support C2."""
    failed = [f"supervised-dirty/seed{seed}" for seed in range(7)]
    claims = judge(study_of({"supervised-dirty": APART}, seeds=17, failed=failed))
    assert set(claims.backdoored) == {"10 of 17"}
    assert (set(claims.verdict), set(claims.seeds)) == ({"supported"}, {10})
    assert set(claims.why) == {""}
    claims = judge(study_of({"supervised-dirty": APART}, seeds=7, failed=failed))
    assert set(claims.verdict) == {"not evaluable"}
    assert set(claims.why) == {"supervised-dirty: backdoored in 0 of 7 seeds"}
    rows = study_of({"supervised-dirty": APART}, seeds=2)
    claims = judge(rows[rows.measure != "backdoored"])
    assert set(claims.verdict) == {"not evaluable"}
    assert set(claims.why) == {"supervised-dirty: not known if a run is backdoored"}
    assert set(claims.backdoored) == {"? of 2"}
    claims = judge(rows[(rows.measure != "backdoored") | (rows.seed == 0)])
    assert set(claims.seeds) == {1}
    assert claims.why.str.contains("supervised-dirty seed 1: not known if backdoored").all()


@pytest.mark.parametrize("state", ["too_few_hits", "not_estimable", "undefined"])
def test_seeds_without_a_reading_are_named_and_half_of_them_are_too_many(state):
    rows = study_of({"supervised-dirty": APART}, seeds=12)
    mixing = (rows.measure == "smaller_side_mixing") & (rows.reference == "")
    rows.loc[mixing & (rows.seed == 3), "status"] = state
    claims = judge(rows)
    assert set(claims.verdict) == {"supported"}
    assert claims.seeds.tolist() == [11, 12, 12]
    assert claims.why[0] == f"left out: supervised-dirty seed 3: smaller_side_mixing is {state}"
    rows.loc[mixing & (rows.seed < 6), "status"] = state
    claims = judge(rows)
    assert set(claims.verdict) == {"not evaluable"}
    assert claims.why[0].startswith("supervised-dirty: smaller_side_mixing in 6 of 12 backdoored seeds; ")
    assert claims.outcome.tolist() == ["open", "pass", "pass"]


def test_a_part_without_readings_does_not_save_a_claim_of_which_another_part_fails():
    rows = study_of({"supervised-dirty": (0.6, 0.0, 0.0)})
    assert set(judge(rows[rows.measure != "interference"]).verdict) == {"not supported"}
    rows = study_of({"supervised-dirty": APART})
    claims = judge(rows[rows.measure != "interference"])
    assert set(claims.verdict) == {"not evaluable"}
    assert claims.why[1].startswith("supervised-dirty: interference in 0 of 10 backdoored seeds; ")


def test_what_is_missing_is_named():
    rows = study_of({"supervised-dirty": APART}, seeds=1)
    claims = judge(rows.assign(ci_low=math.nan, ci_high=math.nan))
    assert set(claims.verdict) == {"not evaluable"}
    assert claims.why[0] == "smaller_side_mixing has no interval in a run"
    assert list(judge(rows.head(0)).columns) == CLAIM_COLUMNS
    assert judge(study_of({"badencoder": ONE}, seeds=3)).empty, "it is no way of learning"


def test_interference_is_the_mean_over_five_snapshots_or_more():
    def along(count, start=1):
        rows = [
            row("supervised-dirty/seed0", "interference", 0.1 * e, interval=(0.1 * e - 0.02, 0.1 * e + 0.02), epoch=e)
            | {"layer": "all", "subset": "clean"}
            for e in range(start, start + count)
        ]
        return judge(table(*rows, row("supervised-dirty/seed0", "backdoored", 1.0, epoch=start + count - 1)))

    for count, start, expected in ((5, 1, 0.3), (4, 1, 0.4), (5, 0, 0.4)):  # the untrained network is no snapshot
        with case(count, start):
            claims = along(count, start).set_index("measure")
            assert claims.loc["interference", "effect"] == pytest.approx(expected)
            assert claims.loc["interference", "ci_high"] == pytest.approx(expected + 0.02)


def test_other_kinds_of_rows_and_earlier_epochs_are_no_readings():
    rows = study_of({"supervised-dirty": APART})
    before = rows[rows.measure == "smaller_side_mixing"].assign(value=0.9, epoch=3)
    for extra in (before, before.assign(epoch=9, kind="matched"), before.assign(epoch=9, layer="layer1")):
        assert set(judge(pd.concat([extra, rows], ignore_index=True)).verdict) == {"supported"}


def test_p_is_the_largest_of_the_parts_and_holm_counts_the_registered_claims():
    rows = study_of({"supervised-dirty": (0.03, 0.1, 0.05)}, sd=0.1)
    claims = judge(rows)
    own = {m: rows[(rows.measure == m) & (rows.reference == "")].value for m in claims.measure}
    expected = [
        stats.ttest_1samp(own["smaller_side_mixing"], 0.1, alternative="less").pvalue,
        max(
            stats.ttest_1samp(own["interference"], -0.15, alternative="greater").pvalue,
            stats.ttest_1samp(own["interference"], 0.15, alternative="less").pvalue,
        ),
        stats.ttest_1samp(own["mediation_excess"], 0.2, alternative="less").pvalue,
    ]
    assert claims.p.tolist() == pytest.approx(expected)
    assert claims.p_holm.tolist() == pytest.approx([2 * max(expected)] * 3), "two arms are registered, one was run"


def test_optional_arms_do_not_move_the_verdicts_of_registered_ones():
    values = dict.fromkeys(SUPERVISED, (0.07, 0.1, 0.1)) | dict.fromkeys(CONTRASTIVE, (0.6, 0.3, 0.2))
    alone = study_of(values, sd=0.06)
    more = study_of(
        values | {"supcon-dirty": ONE, "supcon-clean": APART, "moco-clean": ONE, "byol-clean": ONE}, sd=0.06
    )
    before, after = (judge(rows).query("family == 'registered'") for rows in (alone, more))

    pd.testing.assert_frame_equal(before.reset_index(drop=True), after.reset_index(drop=True))
    optional = judge(more).query("family == 'exploratory'")
    assert {"moco-clean", "byol-clean", "simclr"} <= set(optional.arm)
    assert "simclr" in set(optional[optional.against == "supcon"].arm), "SupCon is a level of its own"


def test_each_part_is_at_five_per_cent_by_itself():
    claims = judge(study_of({"supervised-dirty": (0.5, 0.2, 0.0)}, sd=0.05)).set_index("measure")
    assert claims.outcome.to_dict() == {
        "smaller_side_mixing": "fail",
        "mediation_excess": "open",
        "interference": "pass",
    }


def test_readings_beside_a_claim_decide_nothing():
    rows = study_of({"simclr-clean": ONE})

    more = [row(f"simclr-clean/seed{s}", "collateral", 0.0, layer="features", subset="clean_target") for s in range(10)]
    claims = judge(pd.concat([rows, table(*more)], ignore_index=True))
    beside = claims[claims.part == "beside"].iloc[0]
    assert (beside.measure, beside.effect, beside.outcome) == ("collateral", 0.0, "")
    assert set(claims.verdict) == {"supported"}


def test_predicates_are_plain_json_that_names_arms_margins_and_rules():
    declared = json.loads(json.dumps(predicates()))
    assert tuple(declared["registered arms"]) == REGISTERED
    assert len(declared["registered claims"]) == 7
    assert {"measure": "interference", "side": "within", "margin": 0.15} in declared["parts"]["C2"]
    for word in ("never subtracted", "Holm", "underpowered", "intersection-union", "Welch"):
        assert word in declared["rules"]


def test_weights_of_a_contrast_add_up_to_zero():
    for claim in claims_about([*CELLS, "supcon-dirty", "supcon-clean", "moco-clean"]):
        with case(claim.arm, claim.against):
            assert sum(claim.weights.values()) == (0 if claim.name == "C4" else 1)
