"""Verdicts on planted rows: supported, not supported, inconclusive, not evaluable, and only indicative with few
seeds."""

import itertools
import json
import math

import numpy as np
import pytest
from intertwine.analysis import judge
from intertwine.analysis.claims.learning_claims import CLAIM_COLUMNS, effect, predicates
from intertwine.analysis.claims.verdicts import MARGIN
from intertwine.analysis.results.measures import PRIMARY
from intertwine.training.arms import ARMS
from scipy import stats

from tests.factories import row, table


def planted_rows(effects, *, seeds=1, half=0.02, jitter=0.0, status="ok", benign_status="ok"):
    """effects: arm → (mixing − benign twin, alignment − benign twin)."""
    rows = []
    for (arm, differences), seed in itertools.product(effects.items(), range(seeds)):
        for (measure, place), difference in zip(PRIMARY.items(), differences, strict=True):
            wobble = jitter * (-1) ** seed
            for reference, value, state in (("", 0.3 + difference + wobble, status), ("benign", 0.3, benign_status)):
                interval = value - half, value + half
                made = row(f"{arm}/seed{seed}", measure, value, reference, interval=interval, status=state, **place)
                rows.append(made)
    return table(*rows)


def verdicts(rows):
    table = judge(rows)
    return {(r.claim, r.arm, r.against): r.verdict for r in table.itertuples()}


def test_effect_is_reading_minus_benign_with_both_errors():
    found = effect(planted_rows({"simclr-clean": (0.4, 0.2)}), "neighbour_mixing", "simclr-clean")
    assert found.value == pytest.approx(0.4)
    half = 2**0.5 * 0.02  # two independent intervals of ±.02
    assert found.interval95 == pytest.approx((0.4 - half, 0.4 + half), rel=1e-3)
    assert found.seeds == 1


def test_contrast_is_a_difference_of_differences_paired_by_seed():
    rows = planted_rows({"simclr-clean": (0.5, 0.5), "supervised-dirty": (0.1, 0.2)}, seeds=4, jitter=0.05)
    found = effect(rows, "gradient_alignment", "simclr-clean", "supervised-dirty")
    assert found.value == pytest.approx(0.3)
    # What the seeds do to both arms alike drops out of the pair.
    assert found.interval95 == pytest.approx((0.3, 0.3), abs=1e-9)


def test_one_seed_is_only_indicative_and_ten_are_not():
    effects = {"simclr-clean": (0.4, 0.4), "supervised-dirty": (0.0, 0.0)}
    few, many = verdicts(planted_rows(effects)), verdicts(planted_rows(effects, seeds=10, jitter=0.01))
    assert set(few.values()) == {"indicative: supported"}
    assert set(many.values()) == {"supported"}
    nine = verdicts(planted_rows(effects, seeds=9, jitter=0.01))
    assert all(v.startswith("indicative") for v in nine.values())


@pytest.mark.parametrize(
    ("difference", "half", "expected"),
    [
        ((0.0, 0.0), 0.02, "supported"),
        ((0.0, 0.0), 0.2, "inconclusive"),  # no evidence of a difference is no evidence of equality
        ((0.4, 0.0), 0.02, "not supported"),
        ((0.0, -0.4), 0.02, "not supported"),  # apart in the other direction is not the same either
        ((MARGIN, 0.0), 0.02, "inconclusive"),
    ],
)
def test_independence_is_an_equivalence_claim(difference, half, expected):
    found = verdicts(planted_rows({"supervised-dirty": difference}, half=half))
    assert found == {("C2", "supervised-dirty", "supervised-benign (benign twin)"): f"indicative: {expected}"}


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((0.4, 0.4), "supported"),
        ((0.4, 0.0), "not supported"),  # both primaries are needed
        ((0.0, 0.4), "not supported"),
        ((0.4, MARGIN), "inconclusive"),
    ],
)
def test_intertwining_needs_both_primary_readings(difference, expected):
    found = verdicts(planted_rows({"simclr-clean": difference}))
    assert found == {("C3", "simclr-clean", "simclr-benign (benign twin)"): f"indicative: {expected}"}


def test_the_contrast_is_stated_against_each_arm_apart():
    rows = planted_rows({"simclr-clean": (0.3, 0.3), "supervised-dirty": (0.0, 0.0), "supervised-clean": (0.5, 0.5)})
    found = verdicts(rows)
    assert found[("C4", "simclr-clean", "supervised-dirty")] == "indicative: supported"
    assert found[("C4", "simclr-clean", "supervised-clean")] == "indicative: not supported"


@pytest.mark.parametrize("state", ["not_evaluable", "not_estimable", "undefined"])
def test_a_reading_that_is_not_ok_makes_the_claim_not_evaluable(state):
    # A failed backdoor looks "independent": it must not support C2.
    table = judge(planted_rows({"supervised-dirty": (0.0, 0.0)}, status=state))
    assert set(table.verdict) == {"not evaluable"}
    assert table.why.str.contains(f"reading is {state}").all()
    benign = judge(planted_rows({"supervised-dirty": (0.0, 0.0)}, benign_status=state))
    assert set(benign.verdict) == {"not evaluable"}


def test_what_is_missing_makes_the_claim_not_evaluable():
    rows = planted_rows({"simclr-clean": (0.4, 0.4)})
    for part, why in (
        (rows[rows.reference == ""], "simclr-clean seed 0: no benign twin of "),
        (rows[rows.reference == "benign"], "simclr-clean seed 0: no reading of "),
        (rows[rows.measure == "neighbour_mixing"], "simclr-clean: no rows of gradient_alignment"),
        (rows.assign(ci_low=math.nan, ci_high=math.nan), "neighbour_mixing has no interval in seed 0"),
    ):
        claims = judge(part)
        assert set(claims.verdict) == {"not evaluable"}
        assert claims.why.str.contains(why).any(), claims.why.tolist()
    assert list(judge(rows.head(0)).columns) == CLAIM_COLUMNS


def test_bad_seeds_are_named_and_when_they_are_half_there_is_no_verdict():
    rows = planted_rows({"simclr-clean": (0.4, 0.4)}, seeds=10)
    rows.loc[(rows.seed == 3) & (rows.reference == ""), "status"] = "not_evaluable"
    claims = judge(rows)
    assert set(claims.verdict) == {"indicative: supported"}, "nine seeds are fewer than ten"
    assert set(claims.seeds) == {9}
    assert all("left out: simclr-clean seed 3" in why for why in claims.why)
    rows.loc[(rows.seed < 5) & (rows.reference == ""), "status"] = "not_evaluable"
    claims = judge(rows)
    assert set(claims.verdict) == {"not evaluable"}
    assert all("simclr-clean seed 4" in why for why in claims.why)


def test_an_attack_on_a_trained_model_is_judged_by_no_claim():
    """BadEncoder learns nothing contrastively, whatever the encoder was that it changes."""
    assert judge(planted_rows({"badencoder": (0.4, 0.4)}, seeds=3)).empty


def test_p_of_a_claim_is_the_larger_of_its_two_readings():
    """Against scipy, on rows whose differences vary over seeds."""
    rng = np.random.default_rng(0)
    differences = {
        "neighbour_mixing": 0.3 + 0.2 * rng.normal(size=10),
        "gradient_alignment": 0.4 + 0.3 * rng.normal(size=10),
    }
    rows = planted_rows({"simclr-clean": (0.0, 0.0)}, seeds=10)
    for measure, values in differences.items():
        for seed, value in enumerate(values):
            mine = (rows.measure == measure) & (rows.seed == seed)
            benign = float(rows[mine & (rows.reference == "benign")].value.iloc[0])
            rows.loc[mine & (rows.reference == ""), "value"] = benign + value
    claims = judge(rows)
    expected = max(stats.ttest_1samp(v, MARGIN, alternative="greater").pvalue for v in differences.values())
    assert claims.p.tolist() == pytest.approx([expected] * 2)
    assert claims.p_holm.tolist() == pytest.approx([expected] * 2), "one claim, nothing to adjust"


def test_more_claims_ask_for_more_of_each():
    """A p that would do alone does not among many: the adjusted one decides."""
    arms = {arm: (0.4, 0.4) for arm, kind in ARMS.items() if kind.poison == "clean" and not kind.labelled}
    rows = planted_rows(arms, seeds=10)
    noisy = rows.reference == ""
    rng = np.random.default_rng(3)
    rows.loc[noisy, "value"] += 0.3 * rng.normal(size=int(noisy.sum()))
    claims = judge(rows).drop_duplicates(["claim", "arm", "against"])
    assert (claims.p_holm >= claims.p).all()
    assert (claims.p_holm > claims.p).any()
    assert all((v == "supported") == (p <= 0.05) for v, p in zip(claims.verdict, claims.p_holm, strict=True))


def test_predicates_are_plain_json_that_names_every_rule():
    text = json.dumps(predicates())
    for word in ("C2", "C3", "C4", "neighbour_mixing", "gradient_alignment", "Holm", str(MARGIN)):
        assert word in text


def test_limits_of_a_difference_need_not_be_symmetric():
    # A mixing of 0 with the interval [0, .06]: what it may be above must not be halved into both directions.
    rows = planted_rows({"supervised-dirty": (0.0, 0.0)}, half=0.0)
    rows.loc[(rows.measure == "neighbour_mixing") & (rows.reference == ""), "ci_high"] += 0.06
    found = effect(rows, "neighbour_mixing", "supervised-dirty")
    assert found.interval95 == pytest.approx((0.0, 0.06))
    assert found.interval90 == pytest.approx((0.0, 0.06 * 1.6449 / 1.96), rel=1e-3)
