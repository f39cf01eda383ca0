"""What a run leaves in its folder, where it may run, and how it ends where it cannot."""

import json

import pytest
import torch
from intertwine.checkpoints import load_checkpoint, load_snapshot, snapshot_epochs
from intertwine.representations.encoders import build_encoder
from intertwine.representations.errors import InputError
from intertwine.training import Recipe, fit, prepare
from intertwine.training.fit import pick_device
from intertwine.training.model import build_objective

from tests.factories import case, fit_on_cpu, history_of, tiny_recipe


def test_folder_holds_what_the_contract_lists(tmp_path):
    r = tiny_recipe(arm="supcon-dirty", epochs=5, batch=100)
    assert fit_on_cpu(r, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    folder = tmp_path / "a" / "b"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    snapshots = {f"snapshots/epoch-{epoch:04d}.safetensors" for epoch in range(6)}
    weights = {"encoder.safetensors", "head.safetensors", "native_head.safetensors"}
    assert files == weights | {"manifest.json", "history.csv"} | snapshots
    manifest = json.loads((folder / "manifest.json").read_text())
    e = prepare(r)
    assert Recipe.from_dict(manifest["recipe"]) == r
    assert (manifest["arm"], manifest["seed"], manifest["format"]) == ("supcon-dirty", 3, 1)
    assert manifest["plan"] == json.loads(json.dumps(e.plan.to_dict()))
    assert manifest["classes"] == list("0123456789")
    identity = manifest["identity"]
    assert identity["train"] == e.train.fingerprint()
    assert identity["test"] == e.test.fingerprint()
    assert identity["torch"] == torch.__version__
    assert identity["threads"] == torch.get_num_threads()
    last = history_of(folder)[-1]
    assert {k: manifest["final"][k] for k in ("acc", "asr", "r_acc")} == pytest.approx(
        {k: last[k] for k in ("acc", "asr", "r_acc")}
    )
    assert manifest["seconds"]["wall"] > 0


def test_snapshots_are_the_encoder_along_the_way(tmp_path):
    r = tiny_recipe(arm="supervised-benign", epochs=3, batch=100)
    fit_on_cpu(r, tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert snapshot_epochs(tmp_path) == [0, 1, 2, 3]
    start, end = (load_snapshot(checkpoint, epoch)[0].backbone.state_dict() for epoch in (0, 3))
    fresh = build_encoder(r.encoder_spec(), seed=r.seed).backbone.state_dict()
    final = checkpoint.encoder.backbone.state_dict()
    assert all(torch.equal(start[name], fresh[name]) for name in fresh)
    assert all(torch.equal(end[name], final[name]) for name in final)
    assert not torch.equal(start["conv1.weight"], end["conv1.weight"])
    batches = [int(load_snapshot(checkpoint, e)[0].backbone.state_dict()["bn1.num_batches_tracked"]) for e in range(4)]
    assert batches == [0, 2, 4, 6]
    head = load_snapshot(checkpoint, 3)[1]
    assert head.keys() == checkpoint.head.keys()
    assert all(torch.equal(value, checkpoint.head[name]) for name, value in head.items())
    first = build_objective(r, "supervised", build_encoder(r.encoder_spec()), 10).state_dict()
    assert all(torch.equal(value, first[name]) for name, value in load_snapshot(checkpoint, 0)[1].items())


def test_slow_copies_and_queues_stay_out_of_snapshots(tmp_path):
    fit_on_cpu(tiny_recipe(arm="moco-clean", queue=64, epochs=1), tmp_path)
    names = set(load_snapshot(load_checkpoint(tmp_path), 1)[1])
    assert names
    assert all(name.startswith("projector.") for name in names)


def test_a_run_hash_changes_with_recipe_and_seed(tmp_path):
    hashes = set()
    for i, changes in enumerate(({}, {"seed": 4}, {"flip": 0.4}, {"arm": "supcon-benign"})):
        fit_on_cpu(tiny_recipe(**{"arm": "supervised-benign", "epochs": 1, "batch": 100} | changes), tmp_path / str(i))
        hashes.add(json.loads((tmp_path / str(i) / "manifest.json").read_text())["run_hash"])
    assert len(hashes) == 4


def test_unknown_devices_are_refused_before_any_work(tmp_path):
    for device in ("gpu", "cuda:0", "", "mps", "CPU"):
        with case(device):
            with pytest.raises(InputError, match=f"device: expected auto, cpu or cuda, received {device!r}"):
                fit(tiny_recipe(), tmp_path / "run", device=device)
            assert not (tmp_path / "run").exists()


def test_cuda_without_cuda_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device: expected a CUDA device for 'cuda', but PyTorch sees none"):
        fit(tiny_recipe(), tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()
    assert pick_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 0)


# --- errors


def leftovers(folder) -> list[str]:
    """Files that are neither a snapshot, the state to resume from, nor part of a checkpoint."""
    known = {"encoder.safetensors", "head.safetensors", "manifest.json", "history.csv", "resume.pt"}
    return [
        str(p) for p in folder.rglob("*") if p.is_file() and p.name not in known and not p.match("snapshots/epoch-*")
    ]


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("arm", ["supervised-clean", "supcon-clean", "simclr-clean"])
def test_a_loss_that_is_no_longer_finite_ends_in_one_line_and_no_manifest(tmp_path, arm, optimiser):
    r = tiny_recipe(arm=arm, optimiser=optimiser, lr=1e30, warmup=0.0)
    with pytest.raises(InputError, match=r"lr: .* no longer finite in epoch 1.*1e\+30") as caught:
        fit_on_cpu(r, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "resume.pt").exists(), "or the next try would start from NaN"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("eval_every", [1, 2])
def test_a_last_step_that_breaks_the_weights_is_noticed_and_named(tmp_path, eval_every):
    """One step an epoch: the loss of epoch 1 is that of the initial weights, and only the weights are broken."""
    r = tiny_recipe(arm="supervised-clean", optimiser="sgd", lr=1e30, warmup=0.0, batch=200, eval_every=eval_every)
    with pytest.raises(InputError, match=r"^lr: "):
        fit_on_cpu(r, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_batch_larger_than_the_data_is_refused_before_any_file(tmp_path):
    with pytest.raises(InputError, match="batch: expected at most the 200 training images, received 201"):
        fit_on_cpu(tiny_recipe(batch=201), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert fit_on_cpu(tiny_recipe(batch=200, epochs=1, arm="supervised-benign"), tmp_path / "run").is_dir()


def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path):
    for place in ("file", "file/below"):
        with case(place):
            (tmp_path / "file").write_text("not a folder")
            with pytest.raises(InputError, match="out: "):
                fit_on_cpu(tiny_recipe(epochs=1), tmp_path / place)
            assert (tmp_path / "file").read_text() == "not a folder"


def test_bad_data_leave_no_folder(tmp_path):
    with pytest.raises(InputError, match="target: expected a class from 0 to 9, received 12"):
        fit_on_cpu(tiny_recipe(target=12), tmp_path / "run")
    assert not (tmp_path / "run").exists()
