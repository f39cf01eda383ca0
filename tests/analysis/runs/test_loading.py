"""Any encoder by its name, with what belongs to it."""

import shutil

import pytest
import torch
from intertwine.analysis.runs import ForeignRun, Run, load
from intertwine.analysis.runs.loading import find_twin
from intertwine.checkpoints import convert
from intertwine.representations import InputError
from torchvision.models import resnet18


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("foreign") / "mine.pth"
    torch.save(resnet18(num_classes=3).state_dict(), path)
    return path


def test_a_run_comes_with_its_twin_on_the_same_images(small_runs):
    run = load(small_runs / "supervised-dirty/seed0", device="cpu")
    assert isinstance(run, Run)
    assert run.twin.name == "supervised-benign/seed0"
    assert run.twin.data is run.data
    assert not run.twin.experiment.mask.any()
    alone = load(small_runs / "supervised-benign/seed0", device="cpu")
    assert alone.twin is None
    same = zip(run.twin.encoder.state_dict().values(), alone.encoder.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_a_twin_is_found_beside_a_run_and_may_be_missing(small_runs, tmp_path):
    dirty = shutil.copytree(small_runs / "supervised-dirty/seed0", tmp_path / "dirty")
    assert find_twin(dirty) is None
    assert load(dirty, device="cpu").twin is None
    benign = shutil.copytree(small_runs / "supervised-benign/seed0", tmp_path / "benign")
    assert find_twin(dirty) == benign
    with pytest.raises(InputError, match="twin: expected a benign run on the plan of supervised-benign/seed0"):
        load(benign, twin=dirty, device="cpu")


def test_an_encoder_of_the_zoo():
    run = load("zoo:digits-supervised-patch-dirty", device="cpu")
    assert run.twin.checkpoint.path.name == "digits-supervised-patch-benign"
    with pytest.raises(InputError, match="did you mean 'digits-supervised-patch-dirty'"):
        load("zoo:digits-supervised-patch-dirtz")


def test_foreign_and_converted_checkpoints(checkpoint, tmp_path):
    bare = load(checkpoint, device="cpu")
    assert isinstance(bare, ForeignRun)
    assert (bare.name, bare.data, bare.trigger, bare.target) == ("mine", None, None, None)
    convert(checkpoint, tmp_path / "converted", image_size=16)
    found = load(tmp_path / "converted", data="digits", twin=checkpoint, device="cpu")
    assert (found.image_size, found.data.images.shape[-1], found.twin.name) == (16, 16, "mine")


def test_its_text_is_five_lines(small_runs, checkpoint):
    for name in (small_runs / "supervised-dirty/seed0", "zoo:cifar10-simclr-sig-clean", checkpoint):
        run = load(name, device="cpu")
        assert len(repr(run).splitlines()) == 5
        assert max(map(len, repr(run).splitlines())) <= 100
        assert run._repr_html_().count("<tr>") == 5
    assert "twin     simclr-benign" in repr(load("zoo:cifar10-simclr-sig-clean", device="cpu"))


def test_what_does_not_belong_is_named(small_runs, checkpoint, tmp_path):
    run = small_runs / "supervised-dirty/seed0"
    for name, given, message in (
        (run, {"arch": "resnet18"}, "arch: expected for a foreign checkpoint, received for a run"),
        (tmp_path / "none", {}, "name: expected a run folder, zoo:NAME, a converted folder or a checkpoint, received"),
        (tmp_path, {}, "not a checkpoint, or its training has not finished"),
        (checkpoint, {"trigger": "patch:x.png"}, "target: expected one beside trigger, received none"),
        (checkpoint, {"data": "digits", "evaluation_data": "digits"}, "evaluation_data: expected it or data"),
    ):
        with pytest.raises(InputError, match=message):
            load(name, device="cpu", **given)
