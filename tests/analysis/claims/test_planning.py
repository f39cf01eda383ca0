"""What a plan says, against the verdicts of studies with that many seeds."""

import itertools
import math

import pytest
from intertwine.analysis.claims.planning import PLAN_COLUMNS, plan
from intertwine.analysis.claims.power import largest_spread

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of
from tests.factories import case


def of(table, claim, measure):
    return table[(table.claim == claim) & (table.measure == measure)].iloc[0]


def test_without_a_pilot_it_is_the_spread_at_which_the_seeds_suffice():
    table = plan(["supervised-dirty", "supervised-benign"], 10)
    assert list(table.columns) == PLAN_COLUMNS
    assert table.measure.tolist() == ["smaller_side_mixing", "interference", "mediation_excess"]
    assert set(table.level) == {0.025}, "two arms are registered"
    line = of(table, "C2", "smaller_side_mixing")
    assert line.spread == largest_spread(0.1, 10, 0.025 / 3), "refuting one of three parts is the harder"
    assert plan(["supervised-dirty"], 20).spread[0] > line.spread


def test_a_wider_pilot_needs_more_seeds_and_never_fewer_than_ten():
    needs = []
    for sd in (0.001, 0.1, 0.3):
        pilot = study_of(dict.fromkeys(CELLS[:2], APART) | dict.fromkeys(CELLS[2:], ONE), sd=sd)
        table = plan(CELLS, 10, pilot)
        line = of(table, "C4", "smaller_side_mixing")
        needs.append((line.seeds_to_support, line.seeds_to_refute))
        assert line.spread == pytest.approx(sd, rel=0.5)
        assert (table.power_to_support > 0.8).all() == (sd == 0.001)
    assert needs[0] == (10, 10)
    for before, after in itertools.pairwise(needs):
        with case(before, after):
            assert after > before


def test_failed_attacks_ask_for_more_runs():
    pilot = study_of({"simclr-clean": ONE}, seeds=10, failed=[f"simclr-clean/seed{s}" for s in range(6)])
    line = of(plan(["simclr-clean"], 10, pilot), "C3", "mediation_excess")
    assert (line.success, line.pilot_seeds) == (0.4, 4)
    assert line.runs_an_arm == math.ceil(max(line.seeds_to_support, line.seeds_to_refute) / 0.4)


def test_a_pilot_without_the_arm_has_no_numbers():
    line = of(plan(["simclr-clean"], 10, study_of({"supervised-dirty": APART})), "C3", "mediation_excess")
    assert math.isnan(line.spread)
    assert math.isnan(line.seeds_to_support)
    assert math.isnan(line.runs_an_arm)
    assert math.isnan(line.power_to_support)
