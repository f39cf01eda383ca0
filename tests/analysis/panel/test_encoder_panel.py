"""The panel on planted encoders: both ends of every reading, the references, the status."""

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.reports.readings_table import summary
from intertwine.analysis.results.measures import RATES
from intertwine.analysis.results.table import by_deciding_evaluator
from intertwine.representations import InputError

from tests.analysis.schema_checks import must_fit_schema
from tests.factories import few_blocks, one, select

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
    return panel(*args, **more, options=PanelOptions("neighbour_mixing,silhouette,interference"))


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
    assert together == pytest.approx(1, abs=0.2), "two halves of one class: few neighbours"
    assert max(value, ends) < 0.05
    # Residual², against the squared way from one orthonormal centre to another, before normalisation.
    share = 0.36 / (0.36 + 2)
    assert at(apart, "residual_energy", subset="triggered").value == pytest.approx(share, abs=0.08)


def test_a_failed_backdoor_has_too_few_hits_instead_of_being_independent(failed):
    assert at(failed, "asr", evaluator="knn").value < 0.05
    assert at(failed, "backdoored").value == 0
    evidence = failed[
        (failed.reference == "") & failed.measure.isin(["neighbour_mixing", "silhouette", "interference"])
    ]
    for _, of_measure in evidence.groupby("measure"):
        of_hits = of_measure[of_measure.subset == "hits"]
        assert set(of_hits.status) <= {"too_few_hits", "undefined"}
    # Its rates are facts all the same, and its references are not judged.
    assert set(failed[failed.measure.isin(["acc", "asr", "r_acc"])].status) == {"ok"}
    assert "too_few_hits" not in set(failed[failed.reference != ""].status)


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
        *("within-noise", "permuted", "random-direction", "random-subspace", "class-direction"),
    }
    assert set(intertwined.kind) == {"reading", "pair", "confusion"}
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


def test_interference_is_read_by_layer_and_over_all_weights(apart):
    assert at(apart, "interference", layer="all").status in ("ok", "not_estimable")
    assert set(apart[apart.measure == "interference"].layer) == {"centres", "features", "all"}
    assert at(apart, "interference", "together", layer="all").value == 1
    assert at(apart, "interference", "apart", layer="all").value == 0


def test_hits_are_images_that_the_trigger_alone_sends_to_the_target(planted):
    """Two classes lie on the target without any trigger: false positives, and none of them is a hit."""
    args, more = planted(1.0, 0.0)
    encoder, images, labels, trigger, target = args
    relabelled = torch.where(labels == target, torch.arange(len(labels)) % 10 // 5, labels)  # half of the target's
    rows = panel(encoder, images, relabelled, trigger, target, **more, options=CHEAP)
    naturally = int(((labels == target) & (relabelled != target)).sum())
    assert naturally == 25
    asr = at(rows, "asr", evaluator="knn")
    assert asr.value == 1
    assert at(rows, "smaller_side_mixing", subset="hits").n == asr.n - naturally
    assert at(rows, "smaller_side_mixing", "false-positives", subset="hits").n == naturally


def test_confusion_says_where_triggered_images_go(intertwined, failed):
    """With R-Acc the shares sum to 1; all of them go to the target, or none leaves its class."""
    for rows, to_target in ((intertwined, 1.0), (failed, 0.0)):
        shares = rows[(rows.kind == "confusion") & (rows.reference == "")].set_index("x")["value"]
        assert shares.index.tolist() == [0, 1, 2, 3, 4]
        assert shares[0] == to_target
        assert shares.sum() + at(rows, "r_acc", evaluator="knn").value == pytest.approx(1)
    assert set(intertwined[intertwined.kind == "confusion"].reference) == {"", "benign"}


def test_a_run_is_backdoored_if_any_evaluator_sees_it(planted):
    """Half-way to the target and off to one side: a linear map does not see it, neighbours and the victim's head do."""
    args, more = planted(0.5, 0.6)
    rows = panel(*args, **more, options=PanelOptions("cheap", evaluator="ridge"))
    assert at(rows, "asr", evaluator="ridge").value < 0.2
    found = at(rows, "backdoored")
    assert found.value == 1
    assert "knn +" in found.note


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


def test_asr_is_never_reported_without_what_it_is_compared_with(planted):
    """A benign twin that is fooled as well leaves no backdoor; without one, random weights stand for it."""
    args, more = planted(1.0, 0.0)
    fooled = args[0]
    rows = panel(*args, **more | {"benign": fooled}, options=CHEAP)
    assert at(rows, "asr", "benign", evaluator="knn").value == at(rows, "asr", evaluator="knn").value == 1
    assert at(rows, "backdoored").value == 0
    rows = panel(*args, **more | {"benign": None}, options=CHEAP)
    untrained = select(rows, "asr", "random-init")
    assert set(untrained.evaluator) == {"knn", "ridge"}
    assert (untrained.value > 0.7).all(), "here they are fooled as well"
    assert at(rows, "backdoored").value == 0


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


def test_the_evaluator_that_was_chosen_decides_hits(planted):
    """Half-way to the target and off to one side: neighbours still call it the target, a linear map does not."""
    args, more = planted(0.5, 0.6)
    by_knn, by_ridge = (panel(*args, **more, options=PanelOptions("cheap", evaluator=e)) for e in ("knn", "ridge"))
    knn, ridge = (at(by_ridge, "asr", evaluator=name) for name in ("knn", "ridge"))
    assert knn.value == at(by_knn, "asr", evaluator="knn").value > 0.4
    assert ridge.value == at(by_knn, "asr", evaluator="ridge").value < 0.2
    for rows, asr, status in ((by_knn, knn, "ok"), (by_ridge, ridge, "too_few_hits")):
        reading = at(rows, "neighbour_mixing", subset="hits")
        assert (reading.n, reading.status) == (round(asr.value * asr.n), status)
    for rows, name in ((by_knn, "knn"), (by_ridge, "ridge")):
        rates = rows[rows["measure"].isin(RATES)]
        assert set(by_deciding_evaluator(rates)["evaluator"]) == {name}
        assert rates["decides"].equals(rates["evaluator"] == name)
        other = "ridge" if name == "knn" else "knn"
        assert summary(rows)["reading"][:4].tolist() == [
            *(f"acc [{name}]", f"asr [{name}]", f"asr [{other}]", f"r_acc [{name}]")
        ]
    standard = panel(*args, **more, options=PanelOptions(["asr"], layers=["features"], evaluator="ridge"))
    random = by_deciding_evaluator(select(standard, "asr", "random-trigger"))
    assert random[["evaluator", "note"]].values.tolist() == [["ridge", "mean of 3 patterns"]]


def test_the_native_head_decides_where_there_is_one(planted):
    args, more = planted(1.0, 0.0)
    columns, twin = args[0].backbone.centres.weight.detach(), more["benign"].backbone.centres.weight.detach()
    heads = {"head": lambda features: features @ columns, "benign_head": lambda features: features @ twin}
    poisons = torch.zeros(7, 3, 8, 8), torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
    rows = panel(*args, **more, **heads, options=CHEAP, poisons=poisons)
    native = rows[(rows.evaluator == "native") & (rows.kind == "reading")]
    assert native[native.reference == ""].set_index("measure")["value"].to_dict() == {"acc": 1, "asr": 1, "r_acc": 0}
    assert set(native.reference) == {"", "benign"}
    assert native.decides.all()
    assert not rows[rows.evaluator == "knn"].decides.any()
    assert "native +1.000" in at(rows, "backdoored").note
    told = rows[rows.note.str.contains("7 poisons")]
    assert set(told.measure) == {"asr"}
    assert set(told.reference) == {""}
    assert "received 7" in at(rows, "smaller_side_mixing", subset="poisons").note


@pytest.mark.parametrize("with_twin", [True, False])
@pytest.mark.parametrize("readings", ["cheap", "silhouette", "standard"])
def test_steps_are_reported_up_to_the_last(planted, readings, with_twin):
    args, more = planted(1.0, 0.6)
    more = more if with_twin else {name: value for name, value in more.items() if name != "benign"}
    seen = []
    with few_blocks():
        panel(*args, **more, options=PanelOptions(readings), on_step=lambda *reported: seen.append(reported[:2]))
    done, totals = [d for d, _ in seen], {total for _, total in seen}
    assert done == list(range(len(seen)))
    assert totals == {done[-1]}
    assert done[-1] > 4
