"""The panel on planted encoders: both ends of every reading, the references, the status."""

import numpy as np
import pandas as pd
import pytest
import torch
from intertwine.analysis import panel
from intertwine.analysis.reports.readings_table import summary
from intertwine.analysis.results.gates import failed_runs
from intertwine.analysis.results.schema import COLUMNS, STATUSES
from intertwine.analysis.results.table import by_deciding_evaluator, parse_params, read_rows, write_rows
from intertwine.representations import InputError


def one(rows, measure, *, subset=None, reference="", layer="features", evaluator=None, paired=False):
    chosen = rows[(rows.measure == measure) & (rows.reference == reference) & (rows.layer == layer)]
    chosen = chosen[chosen.layer_b == (layer if paired else "")]
    if subset:
        chosen = chosen[chosen.subset == subset]
    if evaluator:
        chosen = chosen[chosen.params.str.contains(f"evaluator={evaluator}")]
    assert len(chosen) == 1, chosen
    return chosen.iloc[0]


@pytest.fixture(scope="module")
def intertwined(planted):
    args, options = planted(1.0, 0.0)
    return panel(*args, **options)


@pytest.fixture(scope="module")
def apart(planted):
    args, options = planted(1.0, 0.6)
    return panel(*args, **options)


@pytest.fixture(scope="module")
def failed(planted):
    args, options = planted(0.0, 0.0)
    return panel(*args, **options)


def test_fully_intertwined_readings_lie_at_their_together_end(intertwined):
    assert one(intertwined, "asr", evaluator="knn").value == 1
    for measure, subset in (("neighbour_mixing", "hits"), ("neighbour_mixing", "triggered"), ("silhouette", "hits")):
        reading = one(intertwined, measure, subset=subset)
        together = one(intertwined, measure, subset=subset, reference="together")
        assert reading.status == "ok"
        assert reading.value == pytest.approx(together.value, abs=0.08)
    chance = one(intertwined, "source_accuracy", subset="triggered", reference="together").value
    assert one(intertwined, "source_accuracy", subset="triggered").value == pytest.approx(chance, abs=0.1)
    assert chance == pytest.approx(0.25, abs=0.08)
    assert one(intertwined, "residual_energy", subset="triggered").value < 0.02
    assert one(intertwined, "displacement_cosine").value > 0.98
    # The trigger leaves no trace inside the target class: the images coincide.
    assert one(intertwined, "trigger_separability").value == pytest.approx(0.5, abs=0.12)
    assert one(intertwined, "trigger_codelength").value > 0.9


def test_a_backdoor_of_its_own_reads_apart_though_it_works_as_well(apart):
    assert one(apart, "asr", evaluator="knn").value == 1
    assert (
        one(apart, "neighbour_mixing", subset="hits").value < 0.05
    )  # where noise lets the sets touch: .02, by the draw
    # The noise within the sets keeps the silhouette far from 1, and it is far from its mixed end all the same.
    assert one(apart, "silhouette", subset="triggered").value > 0.2
    assert abs(one(apart, "silhouette", subset="triggered", reference="together").value) < 0.02
    assert one(apart, "trigger_separability").value > 0.99
    assert one(apart, "trigger_codelength").value < 0.3
    share = 0.36 / (
        0.36 + 2
    )  # residual², against the squared way from one orthonormal centre to another, before normalisation
    assert one(apart, "residual_energy", subset="triggered").value == pytest.approx(share, abs=0.08)


def test_a_failed_backdoor_is_not_evaluable_instead_of_independent(failed):
    assert one(failed, "asr", evaluator="knn").value < 0.05
    evidence = failed[
        (failed.reference == "") & failed.measure.isin(["neighbour_mixing", "silhouette", "gradient_alignment"])
    ]
    assert set(evidence.status) <= {"not_evaluable", "undefined"}
    assert "not_evaluable" in set(evidence.status)
    # Its rates are facts all the same, and its references are not judged.
    assert set(failed[failed.measure.isin(["acc", "asr", "r_acc"])].status) == {"ok"}
    assert "not_evaluable" not in set(failed[failed.reference != ""].status)


def test_too_few_hits_are_undefined_with_the_reason(failed):
    row = one(failed, "neighbour_mixing", subset="hits")
    assert row.status == "undefined"
    assert np.isnan(row.value)
    assert "expected at least 10 images in P+, received 0" in row.params


def test_the_benign_is_read_on_the_images_that_this_encoder_sends_to_the_target(intertwined):
    hits = one(intertwined, "neighbour_mixing", subset="hits")
    benign = one(intertwined, "neighbour_mixing", subset="hits", reference="benign")
    assert benign.n == hits.n == 200  # the benign twin itself sends none there
    assert benign.value < 0.05


def test_every_reference_is_there_as_rows(intertwined):
    assert set(intertwined.reference) == {
        *("", "benign", "together", "random-trigger", "random-init", "raw-pixels"),
        *("within-noise", "permuted", "random-direction", "class-direction"),
    }
    assert list(intertwined.columns) == COLUMNS
    assert set(intertwined.status) <= set(STATUSES)
    assert not intertwined.duplicated([*COLUMNS[:8], "run_b", "layer_b", "params"]).any()


def test_random_triggers_that_do_nothing_have_no_asr(apart):
    assert one(apart, "asr", reference="random-trigger", evaluator="knn").value == 0
    assert "patterns=3" in one(apart, "asr", reference="random-trigger", evaluator="knn").params


def test_cka_across_encoders_is_one_where_they_agree_and_subsets_are_apart(apart):
    assert one(apart, "cka", subset="clean_other", paired=True).value == pytest.approx(
        1, abs=1e-9
    )  # same on clean images
    assert one(apart, "cka", subset="triggered", paired=True).value < 0.8
    assert abs(one(apart, "cka", subset="clean_other~triggered", reference="permuted").value) < 0.05


def test_gradient_alignment_is_read_by_layer_and_over_all_weights(apart):
    # A linear encoder whose class code is replaced: the backdoor asks for what the benign task forbids.
    assert one(apart, "gradient_alignment", layer="all").status in ("ok", "not_estimable")
    assert set(apart[apart.measure == "gradient_alignment"].layer) == {"centres", "features", "all"}
    assert one(apart, "gradient_alignment", layer="all", reference="together").value == pytest.approx(1, abs=0.15)


def test_values_lie_in_their_intervals(apart, intertwined):
    for rows in (apart, intertwined):
        known = rows[rows.ci_low.notna()]
        assert len(known) > 50
        assert (known.ci_low <= known.value + 1e-12).mean() > 0.99
        assert (known.ci_high >= known.value - 1e-12).mean() > 0.99


def test_the_panel_is_a_function_of_its_arguments(planted, apart):
    torch.rand(7)  # whatever the global generator has seen
    args, options = planted(1.0, 0.6)
    pd.testing.assert_frame_equal(panel(*args, **options), apart, check_exact=True)


def test_without_a_benign_or_bank_it_still_reads_and_says_so(planted):
    args, options = planted(1.0, 0.6, benign=False)
    rows = panel(*args, **{k: v for k, v in options.items() if k != "bank"})
    assert "benign" not in set(rows.reference)
    assert 90 <= one(rows, "asr", evaluator="knn").n <= 110  # of 200: half of the images became the bank
    assert one(rows, "neighbour_mixing", subset="triggered").status == "ok"


def test_rows_survive_the_disk_exactly(apart, tmp_path):
    path = write_rows(apart, tmp_path / "rows.csv")
    again = read_rows(path)
    for column in COLUMNS:
        left, right = apart[column].tolist(), again[column].tolist()
        assert all(a == b or ((a is None or a != a) and b != b) for a, b in zip(left, right, strict=True)), column


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 9}, "target: expected class 9"),
        (
            {"labels": torch.zeros(3, dtype=torch.int64)},
            r"labels: expected int64 \(250,\), received torch.int64 \(3,\)",
        ),
        ({"images": torch.zeros(250, 1, 8, 8, dtype=torch.uint8)}, r"images: expected uint8 \(n, 3, H, W\)"),
        ({"images": torch.zeros(250, 3, 8, 8)}, "received torch.float32"),
        ({"layers": ["nowhere"]}, "layers: expected some of centres, features, received nowhere"),
    ],
)
def test_bad_arguments_are_named(planted, change, message):
    args, options = planted(1.0, 0.0)
    names = dict(zip(("encoder", "images", "labels", "trigger", "target"), args, strict=True))
    with pytest.raises(InputError, match=message):
        panel(**(names | options | change))


def test_any_module_must_be_wrapped_first(planted):
    args, options = planted(1.0, 0.0)
    with pytest.raises(
        InputError, match=r"expected an Encoder \(see intertwine.representations.wrap\), received Linear"
    ):
        panel(torch.nn.Linear(2, 2), *args[1:], **options)


def test_the_interval_of_mixing_weighs_both_sets_alike_though_some_points_were_never_drawn():
    from intertwine.analysis.panel.readings import Features, read

    # P is ten times clean_target, and half of it lies in clean_target: most of P is in no balanced draw.
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(660) % 11
    clean = torch.nn.functional.one_hot(labels, 12).double() + 0.05 * torch.randn(660, 12, generator=g)
    triggered = clean.clone()
    moved = (labels != 0) & (torch.arange(660) % 2 == 0)
    triggered[moved] = clean[labels == 0][torch.randint(60, (int(moved.sum()),), generator=g)] + 1e-3
    f = Features(clean, triggered, triggered[labels != 0], labels, 0, moved, clean, labels)
    reading = read(f, ["neighbour_mixing"])[("neighbour_mixing", "triggered")]
    middle = sum(reading.interval) / 2
    assert reading.interval[0] < reading.value < reading.interval[1]
    assert reading.value == pytest.approx(middle, abs=0.03)


def test_the_order_of_the_images_does_not_break_the_ties_of_mixing():
    from intertwine.analysis.panel.readings import Features, read

    # Two points only, of 90 images of P with 30 of clean_target and of 10 with 70. Of ten neighbours at random among
    # those at one point, 2·90·30/120 and 2·10·70/80 of 200 queries' are foreign; in the order of the classes 100 of
    # 200 are.
    place = torch.cat([torch.arange(100) >= 90, torch.arange(100) >= 30]).long()
    for first in (0, 1):
        labels = torch.arange(200) // 100 if first else 1 - torch.arange(200) // 100
        points, hits = torch.nn.functional.one_hot(place, 2).double(), labels != 0
        order = torch.cat([torch.arange(100, 200), torch.arange(100)]) if first else torch.arange(200)
        f = Features(points[order], points[order], points[order][hits], labels, 0, hits, points[order], labels)
        assert read(f, ["neighbour_mixing"])[("neighbour_mixing", "triggered")].value == pytest.approx(0.622, abs=0.1)


def test_logistic_probes_are_read_by_name_beside_their_control_task(planted):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, readings=["class_probe", "trigger_probe"], layers=["features"], **options)
    read_off, wiped = (one(rows, "class_probe", subset=s) for s in ("clean", "triggered"))
    assert read_off.value > 0.95
    assert read_off.ci_low < read_off.value <= read_off.ci_high
    assert "memorised=" in read_off.params
    assert wiped.value < 0.5  # four source classes, all sent to one place
    assert one(rows, "class_probe", subset="clean", reference="permuted").value == pytest.approx(0.2, abs=0.1)
    assert one(rows, "trigger_probe", subset="clean_target~triggered_target").value > 0.95
    assert one(
        rows, "trigger_probe", subset="clean_target~triggered_target", reference="permuted"
    ).value == pytest.approx(0.5, abs=0.15)
    assert one(
        rows, "trigger_probe", subset="clean_target~triggered_target", reference="benign"
    ).value == pytest.approx(0.5, abs=0.15)


def test_no_layers_is_an_error(planted):
    args, options = planted(1.0, 0.0)
    with pytest.raises(InputError, match="layers: expected some of centres, features, received none"):
        panel(*args, layers=[], **options)


def test_the_cheap_set_reads_the_tap_beside_benign_and_together(planted, apart):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, readings="cheap", **options)
    assert set(rows.reference) == {"", "benign", "together", "permuted", "within-noise"}
    assert set(rows[rows.measure != "gradient_alignment"].layer) == {"features"}
    # What it reads is what the standard set reads.
    for measure, subset in (("neighbour_mixing", "hits"), ("silhouette", "triggered"), ("effective_rank", "triggered")):
        assert one(rows, measure, subset=subset).value == one(apart, measure, subset=subset).value


def test_readings_by_name_bring_the_rates_and_nothing_else(planted):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, readings="silhouette,nc1", **options)
    assert set(rows.measure) == {"acc", "asr", "r_acc", "silhouette", "nc1"}


def test_what_is_asked_for_by_name_is_read_at_every_layer(planted, apart):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, readings=["erasure_cost_acc"], **options)
    assert set(rows[rows.measure == "erasure_cost_acc"].layer) == {"centres", "features"}
    assert set(apart[apart.measure == "erasure_cost_acc"].layer) == {"features"}  # the standard set: at the output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("neighbor_mixing", r"received 'neighbor_mixing' \(did you mean neighbour_mixing\?\)"),
        ("cheep", r"did you mean cheap\?"),
        ("", "readings: expected standard, cheap, or names among"),
    ],
)
def test_unknown_readings_are_named(planted, name, message):
    args, options = planted(1.0, 0.0)
    with pytest.raises(InputError, match=message):
        panel(*args, readings=name, **options)


def test_rates_are_of_all_images_though_few_are_kept(planted, apart):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, readings="cheap", most=120, most_bank=150, **options)
    whole = panel(*args, readings="cheap", most_bank=150, **options)
    assert one(rows, "acc", evaluator="knn").n == 250
    assert one(rows, "silhouette", subset="triggered").n < 120
    for rate in ("acc", "asr", "r_acc"):
        assert one(rows, rate, evaluator="knn").value == one(whole, rate, evaluator="knn").value
        assert one(rows, rate, evaluator="ridge").value == one(whole, rate, evaluator="ridge").value


def test_measuring_holds_no_more_for_more_images(planted, monkeypatch):
    """The most images whose features are held at once, for 250 and for 1,250 held-out images."""
    from intertwine.analysis.panel import encoder_readings as measuring

    held = []
    real = measuring.capture

    def counting(encoder, images, **options):
        held.append(len(images))
        return real(encoder, images, **options)

    monkeypatch.setattr(measuring, "capture", counting)
    args, options = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    most = []
    for times in (1, 5):
        held.clear()
        many = images.repeat(times, 1, 1, 1), labels.repeat(times)
        panel(encoder, *many, trigger, target, readings="silhouette", most=150, most_bank=150, **options)
        most.append(max(held))
    assert most == [150, 150]


def test_intervals_belong_to_readings_and_benign(apart):
    mixing = apart[(apart.measure == "neighbour_mixing") & (apart.layer == "features") & (apart.subset == "triggered")]
    with_interval = set(mixing[mixing.ci_low.notna()].reference)
    assert with_interval == {"", "benign", "random-trigger"}  # the last over its patterns
    bounded = mixing[mixing.reference == ""].iloc[0]
    assert bounded.ci_low <= bounded.value < bounded.ci_high  # a mixing of 0 keeps a width


def test_one_image_of_the_target_class_is_undefined_with_the_reason(planted):
    args, options = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    keep = labels != target
    keep[(labels == target).nonzero()[0]] = True
    rows = panel(encoder, images[keep], labels[keep], trigger, target, readings="standard", **options)
    separability = one(rows, "trigger_separability")
    assert separability.status == "undefined"
    assert "reason=" in separability.params
    assert one(rows, "neighbour_mixing", subset="triggered").status == "undefined"
    assert one(rows, "asr", evaluator="knn").status == "ok"


def test_mixing_is_read_where_few_of_many_neighbours_are_drawn():
    """P apart and nine times as large as clean_target: nearly all neighbours of its points are in P, of which few are
    drawn."""
    from intertwine.analysis.panel.readings import Features, read

    g = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 10
    clean = torch.nn.functional.one_hot(labels, 12).double() + 0.05 * torch.randn(600, 12, generator=g)
    triggered = torch.nn.functional.one_hot(torch.full((600,), 11), 12).double()
    triggered = triggered + 0.05 * torch.randn(600, 12, generator=g)
    f = Features(clean, triggered, triggered[labels != 0], labels, 0, labels != 0, clean, labels)
    for subset in ("triggered", "hits"):
        reading = read(f, ["neighbour_mixing"])[("neighbour_mixing", subset)]
        assert (reading.status, reading.value) == ("ok", 0.0)
        assert reading.interval[1] > 0


def test_images_in_the_order_of_their_classes_are_drawn_from_all_of_them(planted):
    args, options = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    order = labels.argsort(stable=True)
    from intertwine.analysis.panel import encoder_readings as measuring

    seen = []
    real = measuring.gradient_blocks

    def watching(n, **options):
        blocks = real(n, **options)
        seen.extend(blocks)
        return blocks

    measuring.gradient_blocks = watching
    before, measuring.MOST_IN_GRADIENTS = measuring.MOST_IN_GRADIENTS, 100
    try:
        panel(encoder, images[order], labels[order], trigger, target, readings="gradient_alignment", **options)
    finally:
        measuring.gradient_blocks, measuring.MOST_IN_GRADIENTS = real, before
    others = labels[order][labels[order] != target]
    assert set(others[torch.cat(seen[:24])].tolist()) == {1, 2, 3, 4}
    assert len(torch.cat(seen[:24])) == 100


def test_too_few_images_for_gradients_are_undefined(planted):
    args, options = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    keep = (labels == target) | (torch.arange(len(labels)) < 14)
    rows = panel(encoder, images[keep], labels[keep], trigger, target, readings="gradient_alignment", **options)
    row = one(rows, "gradient_alignment", layer="all")
    assert row.status == "undefined"
    assert "expected at least 16" in row.params


def test_every_entry_is_in_the_table_of_measures():
    from intertwine.analysis import MEASURES
    from intertwine.analysis.panel.readings import ENTRIES
    from intertwine.analysis.panel.readings.network import INSPECTIONS

    assert {name for entry in ENTRIES for name in entry.measures} | set(INSPECTIONS) <= set(MEASURES)


def test_asr_as_ctrl_reports_it_counts_the_target_class_too(planted):
    """Every triggered image of the target class is a success for this rate, whatever the backdoor does."""
    args, options = planted(0.0, 0.0)
    rows = panel(*args, readings="asr_including_target", **options)
    asr, including = (one(rows, name, evaluator="knn") for name in ("asr", "asr_including_target"))
    assert (asr.value, including.value) == (0.0, 0.2)
    assert (asr.n, including.n) == (200, 250)
    assert including.subset == "triggered_all"
    assert "asr_including_target" not in set(panel(*args, **options).measure)


def test_what_erasing_costs_is_shown(planted):
    args, options = planted(1.0, 0.6)
    rows = panel(*args, **options, readings=["erasure_cost_acc", "erasure_cost_asr"], layers=["features"])
    assert {"erasure_cost_acc (P)", "erasure_cost_asr (P)"} <= set(summary(rows)["reading"])


def test_the_evaluator_that_was_chosen_decides_hits_and_status(planted):
    """Half-way to the target and off to one side: neighbours still call it the target, a linear map does not."""
    args, options = planted(0.5, 0.6)
    options |= {"readings": "cheap"}
    by_knn, by_ridge = (panel(*args, **options, evaluator=name) for name in ("knn", "ridge"))
    knn, ridge = (one(by_ridge, "asr", evaluator=name) for name in ("knn", "ridge"))
    assert knn.value == one(by_knn, "asr", evaluator="knn").value > 0.4
    assert ridge.value == one(by_knn, "asr", evaluator="ridge").value < 0.2
    for rows, asr, status in ((by_knn, knn, "ok"), (by_ridge, ridge, "not_evaluable")):
        reading = one(rows, "neighbour_mixing", subset="hits")
        assert (reading.n, reading.status) == (round(asr.value * asr.n), status)
    assert "judge=yes" in ridge.params
    assert "judge" not in knn.params
    assert not by_knn["params"].str.contains("judge").any(), "kNN decides where no row says otherwise"
    assert failed_runs(by_ridge.assign(epoch=1)) == set(by_ridge["run"])
    assert failed_runs(by_knn.assign(epoch=1)) == set()
    decides = [rows[rows["measure"] == "asr"].pipe(by_deciding_evaluator) for rows in (by_knn, by_ridge)]
    assert [set(asr["params"].map(parse_params).str["evaluator"]) for asr in decides] == [{"knn"}, {"ridge"}]
    for rows, names in ((by_knn, ["knn", "ridge"]), (by_ridge, ["ridge", "knn"])):
        assert summary(rows)["reading"][:4].tolist() == [
            f"acc [{names[0]}]",
            *(f"asr [{n}]" for n in names),
            f"r_acc [{names[0]}]",
        ]
    standard = panel(*args, **options | {"readings": ["asr"], "layers": ["features"]}, evaluator="ridge")
    random = by_deciding_evaluator(
        standard[(standard["reference"] == "random-trigger") & (standard["measure"] == "asr")]
    )
    assert random["params"].str.startswith("evaluator=ridge;judge=yes;patterns=").tolist() == [True]
    with pytest.raises(InputError, match="evaluator: expected one of knn, ridge, received 'svm'"):
        panel(*args, **options, evaluator="svm")
