"""The panel on planted encoders: both ends of every reading, the references, the status."""

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.reports.readings_table import summary
from intertwine.analysis.results.gates import failed_runs
from intertwine.analysis.results.table import by_deciding_evaluator
from intertwine.representations import InputError

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import one, select

CHEAP = PanelOptions("cheap")


def at(rows, measure, reference="", **where):
    """The one reading of this encoder at its output."""
    return one(rows, measure, reference, **{"kind": "reading", "layer": "features"} | where)


@pytest.fixture(scope="module")
def intertwined(planted):
    args, more = planted(1.0, 0.0)
    return panel(*args, **more)


@pytest.fixture(scope="module")
def apart(planted):
    args, more = planted(1.0, 0.6)
    return panel(*args, **more, options=PanelOptions(layers=["features"]))


@pytest.fixture(scope="module")
def failed(planted):
    args, more = planted(0.0, 0.0)
    return panel(*args, **more, options=PanelOptions("neighbour_mixing,silhouette,gradient_alignment"))


def test_fully_intertwined_readings_lie_at_their_together_end(intertwined):
    assert at(intertwined, "asr", evaluator="knn").value == 1
    for measure, subset in (("neighbour_mixing", "hits"), ("neighbour_mixing", "triggered"), ("silhouette", "hits")):
        reading = at(intertwined, measure, subset=subset)
        together = at(intertwined, measure, "together", subset=subset)
        assert reading.status == "ok"
        assert reading.value == pytest.approx(together.value, abs=0.08)
    chance = at(intertwined, "source_accuracy", "together", subset="triggered").value
    assert at(intertwined, "source_accuracy", subset="triggered").value == pytest.approx(chance, abs=0.1)
    assert chance == pytest.approx(0.25, abs=0.08)
    assert at(intertwined, "residual_energy", subset="triggered").value < 0.02
    assert at(intertwined, "displacement_cosine").value > 0.98
    # The trigger leaves no trace inside the target class: the images coincide.
    assert at(intertwined, "trigger_separability").value == pytest.approx(0.5, abs=0.12)
    assert at(intertwined, "trigger_codelength").value > 0.9


def test_a_backdoor_of_its_own_reads_apart_though_it_works_as_well(apart):
    assert at(apart, "asr", evaluator="knn").value == 1
    # Where noise lets the sets touch: .02, by the draw.
    assert at(apart, "neighbour_mixing", subset="hits").value < 0.05
    # The noise within the sets keeps the silhouette far from 1, and it is far from its mixed end all the same.
    assert at(apart, "silhouette", subset="triggered").value > 0.2
    assert abs(at(apart, "silhouette", "together", subset="triggered").value) < 0.02
    assert at(apart, "trigger_separability").value > 0.99
    assert at(apart, "trigger_codelength").value < 0.5
    # Absolute readings, between the two ends in this encoder: classes are farther apart than the trigger's own place.
    value, together, ends = (at(apart, "energy_coefficient", r, subset="hits").value for r in ("", "together", "apart"))
    assert abs(together) < 0.02
    assert together + 0.2 < value < ends
    value, together, ends = (
        at(apart, "smaller_side_mixing", r, subset="hits").value for r in ("", "together", "apart")
    )
    assert together == pytest.approx(1, abs=0.1)
    assert max(value, ends) < 0.05
    # Residual², against the squared way from one orthonormal centre to another, before normalisation.
    share = 0.36 / (0.36 + 2)
    assert at(apart, "residual_energy", subset="triggered").value == pytest.approx(share, abs=0.08)


def test_a_failed_backdoor_is_not_evaluable_instead_of_independent(failed):
    assert at(failed, "asr", evaluator="knn").value < 0.05
    evidence = failed[
        (failed.reference == "") & failed.measure.isin(["neighbour_mixing", "silhouette", "gradient_alignment"])
    ]
    for _, of_measure in evidence.groupby("measure"):
        assert set(of_measure.status) <= {"not_evaluable", "undefined"}
        assert "not_evaluable" in set(of_measure.status)
    # Its rates are facts all the same, and its references are not judged.
    assert set(failed[failed.measure.isin(["acc", "asr", "r_acc"])].status) == {"ok"}
    assert "not_evaluable" not in set(failed[failed.reference != ""].status)


def test_too_few_hits_are_undefined_with_the_reason(failed):
    row = at(failed, "neighbour_mixing", subset="hits")
    assert row.status == "undefined"
    assert np.isnan(row.value)
    assert "expected at least 10 images in hits, received 0" in row.note


def test_the_benign_is_read_on_the_images_that_this_encoder_sends_to_the_target(intertwined):
    hits = at(intertwined, "neighbour_mixing", subset="hits")
    benign = at(intertwined, "neighbour_mixing", "benign", subset="hits")
    assert benign.n == hits.n == 200  # the benign twin itself sends none there
    assert benign.value < 0.05
    assert benign.other_run == "benign"


def test_every_reference_is_there_as_rows(intertwined, apart, failed, tmp_path):
    assert set(intertwined.reference) == {
        *("", "benign", "together", "apart", "false-positives", "random-trigger", "random-init", "raw-pixels"),
        *("within-noise", "permuted", "random-direction", "class-direction"),
    }
    assert set(intertwined.kind) == {"reading", "pair"}
    for rows in (intertwined, apart, failed):
        must_fit_schema(rows, tmp_path)


def test_random_triggers_that_do_nothing_have_no_asr(apart, planted):
    asr = at(apart, "asr", "random-trigger", evaluator="knn")
    assert asr.value == 0
    assert asr.note == "mean of 3 patterns"
    args, more = planted(1.0, 0.6)
    fewer = panel(*args, **more, options=PanelOptions("asr", layers=["features"], random_triggers=2))
    assert at(fewer, "asr", "random-trigger", evaluator="knn").note == "mean of 2 patterns"


def test_cka_across_encoders_is_one_where_they_agree_and_subsets_are_apart(apart):
    across = {"kind": "pair", "other_layer": "features", "other_run": "benign"}
    assert at(apart, "cka", subset="clean_other", **across).value == pytest.approx(1, abs=1e-9)
    assert at(apart, "cka", subset="triggered", **across).value < 0.8
    assert abs(at(apart, "cka", "permuted", subset="clean_other~triggered").value) < 0.05
    # A mixture of clean and triggered images would be ruled by the shift that they do not share.
    assert set(apart[apart.kind == "pair"].subset) == {"clean_other", "triggered", "clean_target", "triggered_target"}


def test_gradient_alignment_is_read_by_layer_and_over_all_weights(apart):
    # A linear encoder whose class code is replaced: the backdoor asks for what the benign task forbids.
    assert at(apart, "gradient_alignment", layer="all").status in ("ok", "not_estimable")
    assert set(apart[apart.measure == "gradient_alignment"].layer) == {"centres", "features", "all"}
    assert at(apart, "gradient_alignment", "together", layer="all").value == pytest.approx(1, abs=0.15)


def test_values_lie_in_their_intervals(apart, intertwined):
    for rows in (apart, intertwined):
        known = rows[rows.ci_low.notna()]
        assert len(known) > 50
        assert (known.ci_low <= known.value + 1e-12).mean() > 0.99
        assert (known.ci_high >= known.value - 1e-12).mean() > 0.99


def test_intervals_belong_to_readings_and_benign(apart):
    mixing = apart[(apart.measure == "neighbour_mixing") & (apart.layer == "features") & (apart.subset == "triggered")]
    with_interval = set(mixing[mixing.ci_low.notna()].reference)
    assert with_interval == {"", "benign", "random-trigger"}  # the last over its patterns
    bounded = mixing[mixing.reference == ""].iloc[0]
    assert bounded.ci_low <= bounded.value < bounded.ci_high  # a mixing of 0 keeps a width


def test_the_panel_is_a_function_of_its_arguments(planted):
    args, more = planted(1.0, 0.6)
    first = panel(*args, **more, options=CHEAP)
    torch.rand(7)  # whatever the global generator has seen
    pd.testing.assert_frame_equal(panel(*args, **more, options=CHEAP), first, check_exact=True)


def test_without_a_benign_or_bank_it_still_reads_and_says_so(planted):
    args, more = planted(1.0, 0.6, benign=False)
    rows = panel(*args, **{k: v for k, v in more.items() if k != "bank"}, options=PanelOptions("neighbour_mixing"))
    assert "benign" not in set(rows.reference)
    assert 90 <= at(rows, "asr", evaluator="knn").n <= 110  # of 200: half of the images became the bank
    assert at(rows, "neighbour_mixing", subset="triggered").status == "ok"


def test_asr_is_never_told_without_what_decides_whether_there_is_a_backdoor(planted):
    """A benign twin that is fooled as well leaves nothing to read; without one, random weights stand for it."""
    args, more = planted(1.0, 0.0)
    fooled = args[0]
    rows = panel(*args, **more | {"benign": fooled}, options=CHEAP)
    assert at(rows, "asr", "benign", evaluator="knn").value == at(rows, "asr", evaluator="knn").value == 1
    assert at(rows, "silhouette", subset="triggered").status == "not_evaluable"
    rows = panel(*args, **more | {"benign": None}, options=CHEAP)
    untrained = select(rows, "asr", "random-init")
    assert set(untrained.evaluator) == {"knn", "ridge"}
    assert (untrained.value > 0.7).all(), "here they are fooled as well"
    assert at(rows, "silhouette", subset="triggered").status == "not_evaluable"


def test_bad_arguments_are_named(planted):
    args, more = planted(1.0, 0.0)
    names = dict(zip(("encoder", "images", "labels", "trigger", "target"), args, strict=True))
    linear = torch.nn.Linear(2, 2)
    few_layers = "layers: expected some of centres, features, received "
    for change, message in (
        ({"encoder": linear}, r"expected an Encoder \(see intertwine.representations.wrap\), received Linear"),
        ({"options": PanelOptions(layers=["nowhere"])}, f"{few_layers}nowhere"),
        ({"options": PanelOptions(layers=[])}, f"{few_layers}none"),
    ):
        with pytest.raises(InputError, match=message):
            panel(**(names | more | change))


def test_the_evaluator_that_was_chosen_decides_hits_and_status(planted):
    """Half-way to the target and off to one side: neighbours still call it the target, a linear map does not."""
    args, more = planted(0.5, 0.6)
    by_knn, by_ridge = (panel(*args, **more, options=PanelOptions("cheap", evaluator=e)) for e in ("knn", "ridge"))
    knn, ridge = (at(by_ridge, "asr", evaluator=name) for name in ("knn", "ridge"))
    assert knn.value == at(by_knn, "asr", evaluator="knn").value > 0.4
    assert ridge.value == at(by_knn, "asr", evaluator="ridge").value < 0.2
    for rows, asr, status in ((by_knn, knn, "ok"), (by_ridge, ridge, "not_evaluable")):
        reading = at(rows, "neighbour_mixing", subset="hits")
        assert (reading.n, reading.status) == (round(asr.value * asr.n), status)
    assert failed_runs(by_ridge.assign(epoch=1)) == set(by_ridge["run"])
    assert failed_runs(by_knn.assign(epoch=1)) == set()
    for rows, name in ((by_knn, "knn"), (by_ridge, "ridge")):
        rates = rows[rows["evaluator"] != ""]
        assert set(by_deciding_evaluator(rates)["evaluator"]) == {name}
        assert rates["decides"].equals(rates["evaluator"] == name)
        other = "ridge" if name == "knn" else "knn"
        assert summary(rows)["reading"][:4].tolist() == [
            *(f"acc [{name}]", f"asr [{name}]", f"asr [{other}]", f"r_acc [{name}]")
        ]
    standard = panel(*args, **more, options=PanelOptions(["asr"], layers=["features"], evaluator="ridge"))
    random = by_deciding_evaluator(select(standard, "asr", "random-trigger"))
    assert random[["evaluator", "note"]].values.tolist() == [["ridge", "mean of 3 patterns"]]


def test_the_native_head_is_an_extra_that_decides_nothing(planted):
    args, more = planted(1.0, 0.0)
    columns = args[0].backbone.centres.weight.detach()
    rows = panel(*args, **more, head=lambda features: features @ columns, options=CHEAP, poisons=7)
    native = rows[rows.evaluator == "native"]
    assert native[["measure", "reference"]].values.tolist() == [["acc", ""], ["asr", ""], ["r_acc", ""]]
    assert not native.decides.any()
    assert native.set_index("measure")["value"].tolist() == [1.0, 1.0, 0.0]
    told = rows[rows.note.str.contains("7 poisons")]
    assert set(told.measure) == {"asr"}
    assert set(told.reference) == {""}
