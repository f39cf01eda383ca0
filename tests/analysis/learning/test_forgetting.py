"""Ways of forgetting begin at the trained encoders, leave them alone, and count what is lost together."""

import pandas as pd
import pytest
from intertwine.analysis.learning import forgetting
from intertwine.analysis.learning.forgetting import WAYS, measure_forgetting

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import one, same, select, state

STOPS = (0, 1, 4, 12)


@pytest.fixture(scope="module")
def forgotten(pair):
    """State of the run's encoder before, and the rows."""
    before = state(pair[0].encoder)
    return before, measure_forgetting(*pair, stops=STOPS)


def at(rows, measure, x, way, reference=""):
    return float(one(rows, measure, reference, kind="path", path=way, x=x).value)


def test_it_begins_at_the_trained_encoders_and_leaves_them_alone(pair, forgotten, tmp_path):
    (run, benign, rates), (before, rows) = pair, forgotten
    must_fit_schema(rows, tmp_path)
    for way in WAYS:
        assert (at(rows, "acc", 0, way), at(rows, "asr", 0, way)) == rates(run.encoder)
        assert at(rows, "acc", 0, way, "benign") == rates(benign.encoder)[0]
    assert same(before, state(run.encoder))
    assert len(rows[rows.kind == "reading"]) == 2 * len(WAYS) == 6


def test_coupling_is_what_acc_loses_for_what_asr_loses(pair, forgotten):
    (run, benign, rates), (_, rows) = pair, forgotten
    coupling = one(rows, "forgetting_coupling", path="ascent")
    assert coupling.status == "ok", "going up on the poisons' loss unlearns them"
    lost_acc, lost_asr = (
        [at(rows, measure, 0, "ascent") - at(rows, measure, x, "ascent") for x in STOPS[1:]]
        for measure in ("acc", "asr")
    )
    excess = rates(run.encoder)[1] - rates(benign.encoder)[1]
    until = next((i for i, lost in enumerate(lost_asr) if lost >= 0.8 * excess), lost_asr.index(max(lost_asr))) + 1
    products = sum(a * f for a, f in zip(lost_acc[:until], lost_asr[:until], strict=True))
    assert coupling.value == pytest.approx(products / sum(f * f for f in lost_asr[:until]))
    assert coupling.note == f"ASR fell by {max(lost_asr):.4g} of {excess:.4g} over the benign twin's"


def test_it_is_seeded(pair, monkeypatch):
    monkeypatch.setattr(forgetting, "WAYS", {"benign-only": 1e-3})  # which draws batches and views
    once, again = (measure_forgetting(*pair, stops=(0, 1)) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


def test_a_method_without_a_loss_of_its_own_kind_says_so(pair, monkeypatch):
    monkeypatch.setattr(forgetting, "OWN", ())
    monkeypatch.setattr(forgetting, "WAYS", {"benign-only": 1e-3})
    rows = measure_forgetting(*pair, stops=(0, 1))
    missing = one(rows, "forgetting_coupling")
    assert missing.path == "benign-only"
    assert (missing.status, missing.note) == ("undefined", "the loss of supervised cannot be continued")


def test_a_coupling_is_read_only_where_a_backdoor_was_there_and_went():
    known = forgetting._coupling([0.9, 0.8], [1.0, 0.5], 0.9)
    assert known.value == pytest.approx(0.2)
    assert forgetting._coupling([0.9, 0.8], [0.2, 0.1], 0.2).status == "too_few_hits"
    stayed = forgetting._coupling([0.9, 0.8], [1.0, 0.9], 0.9)
    assert stayed.status == "undefined"
    assert stayed.note.startswith("ASR falls by less than 0.3; ASR fell by 0.1 of 0.9")
    assert forgetting._coupling([0.9], [1.0], 0.9).status == "undefined", "a walk that ended at once"


def test_nothing_is_read_off_a_backdoor_that_failed(failed):
    rows = measure_forgetting(*failed, stops=(0, 1))
    assert set(select(rows, "forgetting_coupling").status) == {"too_few_hits"}
