"""Cases in which the first rules, which subtracted the benign twin, gave the wrong verdict."""

import numpy as np
import pandas as pd
from intertwine.analysis import judge

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of, twins_of, verdicts
from tests.factories import case

SUPERVISED, CONTRASTIVE = CELLS[:2], CELLS[2:]


def test_tasks_that_are_apart_are_independent_whatever_the_twin_reads():
    """Mixing and cosine of 0 were "not supported" for C2 beside a twin that mixes .2 and has a cosine of -.4."""
    rows = study_of(dict.fromkeys(SUPERVISED, APART))
    for mixing, others in ((0.2, -0.4), (0.65, 0.3), (0.0, 0.0)):
        with case(mixing, others):
            found = verdicts(judge(twins_of(rows, mixing, others)))
            assert found == {("C2", arm, ""): "supported" for arm in SUPERVISED}


def test_an_intertwined_arm_stays_so_beside_a_twin_that_mixes_as_much():
    rows = study_of(dict.fromkeys(CONTRASTIVE, ONE))
    found = verdicts(judge(twins_of(rows, 0.85, 0.5)))
    assert found == {("C3", arm, ""): "supported" for arm in CONTRASTIVE}


def test_orthogonal_gradients_do_not_intertwine():
    """A cosine of 0 was .4 above the twin's -.4, and so "intertwined"."""
    rows = study_of({"simclr-clean": (0.5, 0.0, 0.0)})
    assert verdicts(judge(twins_of(rows, 0.1, -0.4))) == {("C3", "simclr-clean", ""): "not supported"}


def test_a_contrast_of_a_hundredth_is_no_difference():
    """Any contrast above 0 was "supported"."""
    values = dict.fromkeys(SUPERVISED, (0.1, 0.1, 0.1)) | dict.fromkeys(CONTRASTIVE, (0.11, 0.11, 0.11))
    assert verdicts(judge(study_of(values, sd=0.002)))["C4", "simclr", "supervised"] == "not supported"


def test_arms_that_were_added_do_not_move_a_verdict():
    """Holm's procedure ran over all claims of a table."""
    values = dict.fromkeys(SUPERVISED, (0.06, 0.0, 0.0))
    rows = study_of(values, sd=0.045)
    optional = {f"{learner}-clean": (0.45, 0.2, 0.1) for learner in ("byol", "simsiam", "moco", "barlow", "supcon")}
    more = pd.concat([rows, study_of(optional, sd=0.045)], ignore_index=True)
    before, after = verdicts(judge(rows)), verdicts(judge(more))
    assert before == {key: after[key] for key in before}


def test_seeds_of_one_arm_are_not_counted_against_another():
    """Ten seeds of one arm were half of the twenty of either, and the contrast was "not evaluable"."""
    seeds = {"supervised-clean": range(20), "simclr-clean": range(10)}
    claims = judge(study_of({"supervised-clean": APART, "simclr-clean": ONE}, seeds=seeds))
    assert verdicts(claims, registered=False)["C4", "simclr-clean", "supervised-clean"] == "supported"


def test_not_supported_is_as_strict_as_supported():
    """A 95 % interval of one arm outside the margin was enough, however many arms there were."""
    rows = study_of({"supervised-dirty": APART})
    mixing = (rows.measure == "smaller_side_mixing") & (rows.reference == "")
    spread = np.linspace(-1, 1, 10)
    rows.loc[mixing, "value"] = 0.1 + 2.4 * spread.std(ddof=1) * 0.1 / 10**0.5 + 0.1 * spread
    claims = judge(rows)
    assert claims.ci_low[0] > 0.1
    assert (claims.outcome[0], set(claims.verdict)) == ("fail", {"inconclusive"})
