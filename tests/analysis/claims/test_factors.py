"""C4 as a two-factor analysis: pairs counted as pairs, Welch without them, and cells that are missing."""

import numpy as np
import pandas as pd
import pytest
from intertwine.analysis import judge
from scipy import stats

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of, verdicts
from tests.factories import row, table

VALUES = dict(zip(CELLS, [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.5, 0.4, 0.3), (0.8, 0.4, 0.3)], strict=True))


def line(claims, arm, against, measure="smaller_side_mixing"):
    found = claims[(claims.arm == arm) & (claims.against == against) & (claims.measure == measure)]
    assert len(found) == 1
    return found.iloc[0]


def of(rows, arm, measure="smaller_side_mixing"):
    own = rows[(rows.arm == arm) & (rows.measure == measure) & (rows.reference == "")]
    return own.set_index("seed").value


def test_effects_are_contrasts_of_the_means_of_cells():
    claims = judge(study_of(VALUES, sd=0.0))
    assert line(claims, "simclr", "supervised").effect == pytest.approx(0.6)  # (.5 + .8 - 0 - .1) / 2
    assert line(claims, "clean", "dirty").effect == pytest.approx(0.2)  # (.1 + .3) / 2
    assert line(claims, "simclr − supervised, clean", "dirty").effect == pytest.approx(0.2)  # .7 - .5
    assert line(claims, "simclr-dirty", "supervised-dirty").effect == pytest.approx(0.5)


def test_complete_pairs_are_paired_by_seed():
    rows = study_of(VALUES, sd=0.05)
    cells = {arm: of(rows, arm) for arm in CELLS}
    contrast = (
        cells["simclr-dirty"] + cells["simclr-clean"] - cells["supervised-dirty"] - cells["supervised-clean"]
    ) / 2
    found = line(judge(rows), "simclr", "supervised")
    assert found.p == pytest.approx(stats.ttest_1samp(contrast, 0.05, alternative="greater").pvalue)
    assert (found.design, found.seeds) == ("paired: 10 pairs", 10)


def test_without_complete_pairs_it_is_welchs_test():
    seeds = dict.fromkeys(CELLS, range(10)) | {"simclr-clean": range(4, 16)}
    rows = study_of(VALUES, sd=0.3, seeds=seeds)
    found = line(judge(rows), "simclr-clean", "supervised-clean")
    a, b = of(rows, "simclr-clean"), of(rows, "supervised-clean")
    welch = stats.ttest_ind(a - 0.05, b, equal_var=False, alternative="greater")
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.ci_low, found.ci_high) == pytest.approx(
        tuple(stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95))
    )
    assert found.design == "unpaired (Welch): 12, 10 seeds, 6 of them in all arms"
    assert line(judge(rows), "simclr-dirty", "supervised-dirty").design == "paired: 10 pairs"


def test_half_of_the_seeds_is_half_of_the_arms_own():
    """One arm has twenty seeds and the other ten: the ten are all there is, and no half of thirty."""
    seeds = {"supervised-dirty": range(20), "simclr-dirty": range(20, 30)}
    rows = study_of({"supervised-dirty": APART, "simclr-dirty": ONE}, seeds=seeds)
    claims = judge(rows)
    found = line(claims, "simclr-dirty", "supervised-dirty")
    assert (found.verdict, found.seeds) == ("supported", 10)
    assert found.backdoored == "simclr-dirty 10 of 10, supervised-dirty 20 of 20"
    rows.loc[(rows.arm == "simclr-dirty") & (rows.seed < 25) & (rows.measure == "mediation_excess"), "status"] = (
        "undefined"
    )
    found = line(judge(rows), "simclr-dirty", "supervised-dirty", "mediation_excess")
    assert found.verdict == "not evaluable"
    assert found.why.startswith("simclr-dirty: mediation_excess in 5 of 10 backdoored seeds")


def test_without_a_cell_the_simple_effects_are_there_and_what_is_missing_is_said():
    rows = study_of({arm: VALUES[arm] for arm in CELLS if arm != "simclr-dirty"})
    claims = judge(rows)
    for arm, against in (("simclr", "supervised"), ("clean", "dirty"), ("simclr − supervised, clean", "dirty")):
        found = line(claims, arm, against)
        assert (found.verdict, found.why) == ("not evaluable", "no run of simclr-dirty")
    simple = line(claims, "simclr-clean", "supervised-clean")
    assert (simple.verdict, simple.family) == ("supported", "exploratory")
    assert not ((claims.arm == "simclr-dirty") | (claims.against == "supervised-dirty")).any()


def test_the_margin_of_a_contrast_is_a_twentieth():
    """.04 more is not intertwined more, and .06 more is: either verdict takes the same strictness."""
    for more, expected in ((0.03, "not supported"), (0.05, "inconclusive"), (0.07, "supported")):
        values = {arm: (more,) * 3 if arm.startswith("simclr") else APART for arm in CELLS}
        rows = study_of(values, sd=0.0)
        # Interference by its size: noise around 0 would add to it.
        noise = 0.01 * np.random.default_rng(3).normal(size=len(rows))
        rows["value"] = rows["value"] + np.where(rows.value == more, noise, 0)
        assert verdicts(judge(rows))["C4", "simclr", "supervised"] == expected


def test_the_order_of_learning_is_beside():

    rows = study_of(VALUES)
    gaps = [
        row(
            f"{arm}/seed{seed}",
            "half_time_gap",
            200.0 + seed if arm.startswith("simclr") else -30.0 + seed,
            layer="all",
        )
        for arm in CELLS
        for seed in range(10)
    ]
    claims = judge(pd.concat([rows, table(*gaps)], ignore_index=True))
    found = line(claims, "simclr", "supervised", "half_time_gap")
    assert (found.effect, found.part, found.outcome) == (230.0, "beside", "")
