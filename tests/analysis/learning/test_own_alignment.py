"""Alignment of an arm's own loss: one task with itself, its ends, and why there is none."""

from dataclasses import replace

import torch
from intertwine.analysis.learning.own_alignment import _second_views, own_alignment, own_alignment_ends
from intertwine.training.experiment import Experiment


def test_of_a_task_with_itself_it_is_one(learned, monkeypatch):
    """A trigger that does nothing leaves the same images, views, negatives and (no) labels: one task."""
    run = learned("simclr-clean")
    apart = own_alignment(run, run, 3)
    monkeypatch.setattr(Experiment, "train_trigger", property(lambda self: lambda x: x))
    same = own_alignment(run, run, 3)
    assert set(same) == {"all", "stem", "layer1", "layer2", "layer3"}
    for layer, reading in same.items():
        assert "naive cosine 1;" in reading.note, layer
        assert "naive cosine 1;" not in apart[layer].note


def test_a_changed_pair_shows_an_image_of_the_target(learned):
    """With no share of changed pairs the second view is the poison again; otherwise a clean image of the target."""
    run = learned("simclr-dirty")
    e = run.experiment
    poisons = e.train_trigger(e.train.images[e.mask].float() / 255)
    targets = {x.numpy().tobytes() for x in e.train.images[list(e.plan.target_indices)].float() / 255}
    assert {x.numpy().tobytes() for x in _second_views(run, poisons)} <= targets
    never = replace(run, experiment=replace(e, recipe=e.recipe.replace(pair_share=0.0)))
    assert torch.equal(_second_views(never, poisons), poisons)
    alike = own_alignment(run, run, 3), own_alignment(never, never, 3)
    assert alike[0]["all"].note != alike[1]["all"].note


def test_its_ends_are_another_trigger_and_one_task(learned, monkeypatch):
    run = learned("simclr-clean")
    ends = own_alignment_ends(run, 3)
    assert set(ends) == {"random-trigger", "together"}
    assert {reading.value for reading in ends["together"].values()} == {1.0}
    other = run.experiment.train_trigger.variant(0)
    monkeypatch.setattr(Experiment, "train_trigger", property(lambda self: other))
    # As text: a layer whose gradients are not told from noise has no value, and NaN equals nothing.
    assert repr(own_alignment(run, run, 3)) == repr(ends["random-trigger"])


def test_why_there_is_none(learned):
    for of_end in own_alignment_ends(learned("moco-clean"), 1).values():
        assert "frozen negatives for moco" in of_end["all"].note
    moco = own_alignment(learned("moco-clean"), learned("moco-clean"), 1)["all"]
    assert moco.status == "undefined"
    assert "frozen negatives for moco" in moco.note
    clean = own_alignment(learned("supervised-benign"), learned("supervised-benign"), 1)["all"]
    assert clean.note == "expected poisons, received a benign arm"


def test_too_few_poisons_are_no_mistake_of_the_user(learned, monkeypatch):
    run = learned("supervised-dirty")
    some = Experiment.plan.fget if isinstance(getattr(Experiment, "plan", None), property) else None
    assert some is None, "the plan is a field"
    plan = replace(run.experiment.plan, other_indices=run.experiment.plan.other_indices[:5])
    few = replace(run, experiment=replace(run.experiment, plan=plan))
    reading = own_alignment(few, few, 1)["all"]
    assert reading.status == "undefined"
    assert "received 5" in reading.note
