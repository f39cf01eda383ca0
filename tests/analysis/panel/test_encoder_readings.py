"""One encoder under its triggers: bounded in memory, and with a reason where something cannot be read."""

import pytest
import torch
from intertwine.analysis.panel import PanelOptions, encoder_readings, panel
from intertwine.analysis.panel.readings import interference
from intertwine.probes.interference import interference_blocks

from tests.factories import one


def test_measuring_holds_no_more_for_more_images(planted, monkeypatch):
    """The most images whose features are held at once, for 250 and for 1,250 held-out images."""
    held = []
    real = encoder_readings.capture

    def counting(encoder, images, **options):
        held.append(len(images))
        return real(encoder, images, **options)

    monkeypatch.setattr(encoder_readings, "capture", counting)
    args, more = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    options = PanelOptions("silhouette", images=150, bank=150)
    most = []
    for times in (1, 5):
        held.clear()
        many = images.repeat(times, 1, 1, 1), labels.repeat(times)
        panel(encoder, *many, trigger, target, **more, options=options)
        most.append(max(held))
    assert most == [150, 150]


def test_one_image_of_the_target_class_is_undefined_with_the_reason(planted):
    args, more = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    keep = labels != target
    keep[(labels == target).nonzero()[0]] = True
    options = PanelOptions(["trigger_separability", "neighbour_mixing", "cka"], layers=["features"])
    rows = panel(encoder, images[keep], labels[keep], trigger, target, **more, options=options)
    for measure, subset in (("trigger_separability", "clean_target"), ("neighbour_mixing", "triggered")):
        row = one(rows, measure, layer="features", subset=subset)
        assert (row.status, row.note) == ("undefined", "expected at least 10 images in clean_target, received 1")
    for subset in ("clean_target", "triggered_target"):
        assert (
            "received 1" in one(rows, "cka", kind="pair", layer="features", other_layer="features", subset=subset).note
        )
    assert one(rows, "asr", evaluator="knn").status == "ok"


def test_images_in_the_order_of_their_classes_are_drawn_from_all_of_them(planted, monkeypatch):
    args, more = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    order, seen = labels.argsort(stable=True), []
    real = interference.interference_grams

    def watching(encoder, head, images, labels, target, triggers, **options):
        sizes = {name: options[name] for name in ("blocks", "most", "seed")}
        seen.extend((labels, torch.cat(task)) for task in interference_blocks(labels, target, **sizes))
        return real(encoder, head, images, labels, target, triggers, **options)

    monkeypatch.setattr(interference, "interference_grams", watching)
    monkeypatch.setattr(interference, "MOST", 60)
    panel(encoder, images[order], labels[order], trigger, target, **more, options=PanelOptions("interference"))
    (classes, benign), (_, clean), (_, backdoor) = seen[:3]
    assert set(classes[benign].tolist()) == {0, 1, 2, 3, 4}
    assert set(classes[torch.cat([clean, backdoor])].tolist()) == {1, 2, 3, 4}
    assert len(benign) == len(clean) == len(backdoor) == 60
    assert len(set(torch.cat([benign, clean, backdoor]).tolist())) == 180, "the tasks see different images"


@pytest.mark.parametrize("measure", ["interference", "benign_step_effect"])
def test_too_few_images_for_gradients_are_undefined(planted, measure):
    args, more = planted(1.0, 0.6)
    encoder, images, labels, trigger, target = args
    keep = (labels == target) | (torch.arange(len(labels)) < 14)
    rows = panel(encoder, images[keep], labels[keep], trigger, target, **more, options=PanelOptions(measure))
    row = one(rows, measure, layer="all")
    assert row.status == "undefined"
    assert "expected at least 16" in row.note
