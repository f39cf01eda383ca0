"""Between the weights of two trained encoders: ends that are the encoders' own, controls, and shares of the attack."""

import pytest
from intertwine.analysis.learning.weight_interpolation import measure_path, measure_transplants, statistics_batches
from intertwine.analysis.results.table import final_rows

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import one


def at(rows, measure, x, reference="", path="interpolation"):
    return float(one(rows, measure, reference, kind="path", path=path, x=x).value)


def reading(rows, measure, reference="", **where):
    return one(rows, measure, reference, kind="reading", **where)


def test_a_path_has_its_control_and_the_same_ends(pair, tmp_path):
    run, benign, rates = pair
    rows = measure_path(run, benign, rates, statistics_batches(run))
    must_fit_schema(rows, tmp_path)
    for measure in ("acc", "asr"):
        assert at(rows, measure, 0.0) == at(rows, measure, 0.0, "permuted")
        assert at(rows, measure, 1.0) == pytest.approx(at(rows, measure, 1.0, "permuted"), abs=0.02)
    assert at(rows, "asr", 1.0) > 0.6
    assert reading(rows, "acc_barrier").status == "ok"
    half = reading(rows, "asr_half_point")
    assert half.status == "ok"
    below, above = (at(rows, "asr", x) for x in (int(half["value"] * 10) / 10, int(half["value"] * 10 + 1) / 10))
    assert below < (at(rows, "asr", 0.0) + at(rows, "asr", 1.0)) / 2 <= above
    assert set(final_rows(rows).measure) == {"acc_barrier", "asr_half_point"}, "points are no readings"


def test_transplants_are_shares_of_the_attack_both_ways(pair, tmp_path):
    run, benign, rates = pair
    rows = measure_transplants(run, benign, rates, statistics_batches(run))
    must_fit_schema(rows, tmp_path)
    readings = rows[rows.kind == "reading"]
    assert len(readings) == 2 * 2 * 4
    assert set(readings.status) == {"ok"}
    clean, poisoned = (at(rows, "asr", -1, path=f"transplant-into-{into}") for into in ("benign", "poisoned"))
    for depth, layer in enumerate(["stem", "layer1", "layer2", "layer3"]):
        for measure, into, before, sign in (
            ("transplant_gain", "benign", clean, 1),
            ("transplant_loss", "poisoned", poisoned, -1),
        ):
            for reference in ("", "random-direction"):
                asr = at(rows, "asr", depth, reference, f"transplant-into-{into}")
                share = sign * (asr - before) / (poisoned - clean)
                assert reading(rows, measure, reference, layer=layer)["value"] == pytest.approx(share)
    of_layers = readings[readings.reference == ""]["value"]
    assert of_layers.max() > 0.2, "some layer carries a part of it"
    assert of_layers.min() > -0.2


def test_nothing_is_read_off_a_backdoor_that_failed(failed):
    run, benign, rates = failed
    batches = statistics_batches(run)
    for rows in (measure_path(run, benign, rates, batches), measure_transplants(run, benign, rates, batches)):
        own = rows[(rows.kind == "reading") & (rows.reference == "")]
        assert set(own.status) == {"too_few_hits"}
        assert own.note.str.contains("excess ASR|points; BatchNorm").all()


def test_statistics_come_from_batches_as_in_training(pair):
    run = pair[0]
    batches = statistics_batches(run)
    assert {len(batch) for batch in batches} == {run.experiment.recipe.batch}
    few = statistics_batches(run, most=30)
    assert [len(batch) for batch in few] == [30], "of fewer images than a batch has, all of them"
