"""Training does what the recipe says: checked against a second training loop, and k-NN and attack rates by hand."""

import csv
import functools
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from intertwine.checkpoints import load_checkpoint, load_encoder, load_snapshot, snapshot_epochs
from intertwine.representations.encoders import build_encoder
from intertwine.representations.errors import InputError
from intertwine.training import Augment, Recipe, prepare
from intertwine.training import fit as fit_anywhere
from intertwine.training.fit import pick_device
from intertwine.training.loop import Training
from intertwine.training.model import build_objective
from intertwine.training.schedule import learning_rate, snapshot_schedule
from torch import nn

fit = functools.partial(fit_anywhere, device="cpu")
TINY = {
    "n_train": 200,
    "n_test": 100,
    "image_size": 8,
    "width": 4,
    "hidden": 16,
    "projection": 8,
    "trigger_cells": 2,
    "batch": 50,
    "epochs": 2,
    "lr": 1e-2,
    "seed": 3,
}
UNCHANGED = {"crop": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "jitter_p": 0.0, "grayscale": 0.0}
COLUMNS = ["epoch", "images_seen", "lr", "loss", "loss_clean", "loss_poison", "acc", "asr", "r_acc"]
COLUMNS += ["feature_sd", "effective_rank", "projection_sd", "loss_rank_auc"]


def recipe(**changes) -> Recipe:
    return Recipe(**TINY | changes)


def history(folder) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO((folder / "history.csv").read_text()))
    return [{k: float(v) if v else math.nan for k, v in row.items()} for row in rows]


class Watch:
    """Records every batch that goes into the augmentation and every label that goes into the loss, in training."""

    def __init__(self, monkeypatch):
        self.images, self.labels = [], []
        monkeypatch.setattr(Training, "loss_rank", lambda this: math.nan)
        augment, forward = Augment.apply, {}

        def watched(this, images, drawn):
            self.images.append(images.clone())
            return augment(this, images, drawn)

        monkeypatch.setattr(Augment, "apply", watched)
        from intertwine.training.objectives import SimCLR, SupCon, Supervised

        for kind in (SimCLR, SupCon, Supervised):
            forward[kind] = kind.forward

            def seen(this, views, labels):
                self.labels.append(labels.clone())
                return forward[type(this)](this, views, labels)

            monkeypatch.setattr(kind, "forward", seen)


# --- what is trained on


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("arm", ["simclr-clean", "supervised-dirty", "supcon-clean", "simclr-benign"])
def test_poisons_get_the_trigger_before_augmentation_and_nothing_else_changes(tmp_path, monkeypatch, arm, quantise):
    watch = Watch(monkeypatch)
    r = recipe(arm=arm, quantise=quantise, batch=60, strength=0.3, test_strength=0.9)
    fit(r, tmp_path)
    e = prepare(r)
    clean = e.train.images.double() / 255
    pattern = r.make_trigger().pattern().double()
    blended = 0.7 * clean + 0.3 * pattern
    if quantise:
        blended = (blended * 255).round() / 255
    expected = torch.where(e.mask.view(-1, 1, 1, 1), blended, clean).flatten(1)
    views = 1 if arm == "supervised-dirty" else 2
    steps = 200 // 60
    assert len(watch.images) == 2 * steps * views
    assert len(watch.labels) == 2 * steps
    seen: list[list[int]] = [[], []]
    for step, labels in enumerate(watch.labels):
        batches = watch.images[step * views : (step + 1) * views]
        for other in batches[1:]:
            assert torch.equal(other, batches[0]), "both views are made from the same triggered images"
        distance = torch.cdist(batches[0].double().flatten(1), expected)
        assert distance.min(1).values.max() < 1e-5
        index = distance.argmin(1)
        assert torch.equal(labels, e.labels[index]), "labels go with their images"
        seen[step // steps] += index.tolist()
    for indices in seen:
        assert len(indices) == len(set(indices)) == 180, "each image at most once; the short last batch is left out"
    assert seen[0] != seen[1], "a new order every epoch"


def test_views_differ_and_every_step_draws_anew(tmp_path, monkeypatch):
    streams = []
    draw = Augment.draw

    def watched(this, n, generator):
        streams.append(generator.initial_seed())
        return draw(this, n, generator)

    monkeypatch.setattr(Augment, "draw", watched)
    monkeypatch.setattr(Training, "loss_rank", lambda this: math.nan)
    fit(recipe(arm="simclr-clean", batch=100), tmp_path)
    assert len(streams) == len(set(streams)) == 2 * 2 * 2


@pytest.mark.parametrize(("optimiser", "weight_decay"), [("sgd", 0.0), ("sgd", 0.01), ("adam", 0.0), ("adam", 0.01)])
def test_weights_are_those_of_a_second_training_loop(tmp_path, monkeypatch, optimiser, weight_decay):
    """Cross-entropy, its gradient step and the learning rate written out; the batches are the watched ones."""
    watch = Watch(monkeypatch)
    r = recipe(
        arm="supervised-dirty", optimiser=optimiser, weight_decay=weight_decay, momentum=0.8, lr=3e-3, batch=60,
        **UNCHANGED,
    )  # fmt: skip
    fit(r, tmp_path)
    monkeypatch.undo()
    checkpoint = load_checkpoint(tmp_path)

    torch.manual_seed(99)  # nothing below or above may depend on it
    encoder = build_encoder(r.encoder_spec(), seed=r.seed).train()
    head = build_objective(r, "supervised", encoder, 10).train().head
    parameters = [*encoder.parameters(), *head.parameters()]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses, steps = [], len(watch.images)
    for step, (x, y) in enumerate(zip(watch.images, watch.labels, strict=True)):
        logits = head(encoder(x))
        loss = -(logits.softmax(1)[torch.arange(len(y)), y]).log().mean()
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        top = 0.3 * steps
        if step < top:
            rate = 3e-3 / 25 + (3e-3 - 3e-3 / 25) * (1 - math.cos(math.pi * step / top)) / 2
        else:
            rate = 3e-7 + (3e-3 - 3e-7) * (1 + math.cos(math.pi * (step - top) / (steps - 1 - top))) / 2
        with torch.no_grad():
            for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
                g = g + weight_decay * p
                if optimiser == "sgd":
                    first[i] = g if step == 0 else 0.8 * first[i] + g
                    p -= rate * first[i]
                else:
                    first[i] = 0.9 * first[i] + 0.1 * g
                    second[i] = 0.999 * second[i] + 0.001 * g * g
                    unbiased = first[i] / (1 - 0.9 ** (step + 1))
                    p -= rate * unbiased / ((second[i] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    # Adam divides by gradients that are 0 but for rounding (a bias before a BatchNorm): those weights are noise.
    noise = {"0.bias"} if optimiser == "adam" else set()
    for name, value in encoder.backbone.state_dict().items():
        torch.testing.assert_close(checkpoint.encoder.backbone.state_dict()[name], value, atol=2e-4, rtol=2e-3)
    for name, value in head.state_dict().items():
        if name not in noise and not name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(checkpoint.head[f"head.{name}"], value, atol=2e-4, rtol=2e-3)
    per_epoch = steps // 2
    for row, part in zip(history(tmp_path), (losses[:per_epoch], losses[per_epoch:]), strict=True):
        assert row["loss"] == pytest.approx(np.mean(part), rel=1e-3)


# --- what is reported


def normalised(x: torch.Tensor) -> np.ndarray:
    x = x.double().numpy()
    return x / np.sqrt((x * x).sum(1, keepdims=True))


def vote(query: np.ndarray, bank: np.ndarray, labels: list[int], k: int) -> int:
    """Weighted k-NN: each of the k most similar rows of the bank votes exp(cos/.1) for its class."""
    similar = sorted(((float(query @ row), label) for row, label in zip(bank, labels, strict=True)), reverse=True)[:k]
    votes = dict.fromkeys(range(10), 0.0)
    for cosine, label in similar:
        votes[label] += math.exp(cosine / 0.1)
    return max(votes, key=votes.get)


@pytest.mark.parametrize("arm", ["supervised-dirty", "simclr-clean"])
def test_acc_asr_and_r_acc_are_those_of_loops(tmp_path, arm):
    """Defects seen elsewhere: ASR counting the target class or the wrong class, and the last short batch dropped from
    accuracy. 520 bank images and 530 test images leave short last batches of 20 and 30."""
    r = recipe(
        arm=arm, target=5, n_train=520, n_test=530, epochs=3, batch=52, lr=2e-2, crop=0.7, flip=0.0,
        poison_fraction=1.0, strength=0.3, test_strength=0.2,
    )  # fmt: skip
    fit(r, tmp_path)
    e, encoder = prepare(r), load_encoder(tmp_path)
    with torch.no_grad():
        bank, clean = (normalised(encoder(data.images)) for data in (e.train, e.test))
        pattern = r.make_trigger().pattern()
        triggered = normalised(encoder(0.8 * (e.test.images.float() / 255) + 0.2 * pattern))
    labels, truth = e.train.labels.tolist(), e.test.labels.tolist()
    k = 520 // 50
    right = [vote(x, bank, labels, k) == y for x, y in zip(clean, truth, strict=True)]
    votes = [(vote(x, bank, labels, k), y) for x, y in zip(triggered, truth, strict=True) if y != 5]
    last = history(tmp_path)[-1]
    assert last["acc"] == pytest.approx(sum(right) / 530, abs=1e-9)
    assert last["asr"] == pytest.approx(sum(v == 5 for v, _ in votes) / len(votes), abs=1e-9)
    assert last["r_acc"] == pytest.approx(sum(v == y for v, y in votes) / len(votes), abs=1e-9)
    assert 0.02 < last["asr"] < 0.98, "or the comparison says little"
    assert len(votes) < 530


@pytest.mark.parametrize("arm", ["supervised-dirty", "simclr-clean", "supcon-benign"])
def test_history_has_its_columns_and_images_seen(tmp_path, arm):
    rows = []
    r = recipe(arm=arm, batch=60, epochs=3)
    fit(r, tmp_path, on_epoch=lambda done, total, row: rows.append((done, total, dict(row))))
    written = history(tmp_path)
    assert list(written[0]) == COLUMNS
    assert [(done, total) for done, total, _ in rows] == [(1, 3), (2, 3), (3, 3)]
    poison = prepare(r).plan.count
    for epoch, (row, (_, _, reported)) in enumerate(zip(written, rows, strict=True), start=1):
        assert row["epoch"] == epoch
        assert row["images_seen"] == epoch * 3 * 60
        assert row == pytest.approx(reported, nan_ok=True, rel=1e-12)
        assert 0 <= row["acc"] <= 1
        assert row["lr"] == pytest.approx(learning_rate(r, epoch * 3 - 1, 9))
        if arm.startswith("clean"):
            assert math.isnan(row["loss_poison"])
            assert row["loss_clean"] == row["loss"]
        else:
            low, high = sorted((row["loss_clean"], row["loss_poison"]))
            assert low < row["loss"] < high
            share = (row["loss"] - row["loss_clean"]) / (row["loss_poison"] - row["loss_clean"])
            assert 0 < share * 180 <= poison + 1e-6, "the share of poisons among the 180 images"
            assert share * 180 == pytest.approx(round(share * 180), abs=1e-3)


def test_losses_of_poisons_and_of_clean_images_are_told_apart(tmp_path, monkeypatch):
    """With one full batch an epoch every poison is in it: the mean over each group, from the loss's own rows."""
    from intertwine.training.objectives import Supervised

    kept, forward = [], Supervised.forward

    def seen(this, views, labels):
        loss = forward(this, views, labels)
        kept.append((labels.clone(), loss.per_sample.clone()))
        return loss

    monkeypatch.setattr(Supervised, "forward", seen)
    r = recipe(arm="supervised-clean", batch=200, epochs=1, poison_fraction=1.0)  # poisons are just the target class
    fit(r, tmp_path)
    (labels, values), row = kept[0], history(tmp_path)[0]
    assert row["loss_poison"] == pytest.approx(values[labels == 0].double().mean().item(), rel=1e-9)
    assert row["loss_clean"] == pytest.approx(values[labels != 0].double().mean().item(), rel=1e-9)


@pytest.mark.parametrize(("every", "read"), [(1, {1, 2, 3, 4, 5}), (2, {2, 4, 5}), (10, {5})])
def test_rates_are_read_when_due_and_at_the_end(tmp_path, every, read):
    fit(recipe(arm="supervised-benign", epochs=5, batch=100, eval_every=every), tmp_path)
    rows = history(tmp_path)
    assert {int(row["epoch"]) for row in rows if not math.isnan(row["acc"])} == read
    assert {int(row["epoch"]) for row in rows if not math.isnan(row["asr"])} == read


def test_reading_rates_does_not_change_the_training(tmp_path):
    for every in (1, 3):
        fit(recipe(arm="supcon-clean", epochs=3, batch=100, eval_every=every), tmp_path / str(every))
    first, second = (load_checkpoint(tmp_path / str(every)).encoder.state_dict() for every in (1, 3))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_folder_holds_what_the_contract_lists(tmp_path):
    r = recipe(arm="supcon-dirty", epochs=5, batch=100)
    assert fit(r, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    folder = tmp_path / "a" / "b"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    snapshots = {f"snapshots/epoch-{epoch:04d}.safetensors" for epoch in range(6)}
    assert files == {"encoder.safetensors", "head.safetensors", "manifest.json", "history.csv"} | snapshots
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
    last = history(folder)[-1]
    assert {k: manifest["final"][k] for k in ("acc", "asr", "r_acc")} == pytest.approx(
        {k: last[k] for k in ("acc", "asr", "r_acc")}
    )
    assert manifest["seconds"]["wall"] > 0


def test_snapshots_are_the_encoder_along_the_way(tmp_path):
    r = recipe(arm="supervised-benign", epochs=3, batch=100)
    fit(r, tmp_path)
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
    fit(recipe(arm="moco", queue=64, epochs=1), tmp_path)
    names = set(load_snapshot(load_checkpoint(tmp_path), 1)[1])
    assert names
    assert all(name.startswith("projector.") for name in names)


def test_a_run_hash_changes_with_recipe_and_seed(tmp_path):
    hashes = set()
    for i, changes in enumerate(({}, {"seed": 4}, {"flip": 0.4}, {"arm": "supcon-benign"})):
        fit(recipe(**{"arm": "supervised-benign", "epochs": 1, "batch": 100} | changes), tmp_path / str(i))
        hashes.add(json.loads((tmp_path / str(i) / "manifest.json").read_text())["run_hash"])
    assert len(hashes) == 4


# --- parts


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("steps", [10, 40, 1000])
def test_learning_rate_rises_and_falls_along_cosines(warmup, steps):
    """One-cycle: from lr/25 at step 0 to lr at the end of the warm-up to lr/10⁴ at the last step."""
    r = Recipe(lr=0.5, warmup=warmup)
    rates = [learning_rate(r, step, steps) for step in range(steps)]
    top = warmup * steps
    assert rates[0] == pytest.approx(0.5 / 25 if warmup else 0.5)
    assert rates[0] > 0, "a defect seen elsewhere: the first epoch at rate 0"
    for step, rate in enumerate(rates):
        if step < top:
            expected = 0.02 + (0.5 - 0.02) * 0.5 * (1 - math.cos(math.pi * step / top))
        elif steps - 1 - top < 1:
            expected = 0.5  # the warm-up takes all steps: nothing is left to fall in
        else:
            expected = 5e-5 + (0.5 - 5e-5) * 0.5 * (1 + math.cos(math.pi * (step - top) / (steps - 1 - top)))
        assert rate == pytest.approx(expected, rel=1e-9)
        assert rate <= 0.5
    rise, fall = rates[: math.ceil(top)], rates[math.ceil(top) :]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    if steps - 1 - top >= 1:
        assert rates[-1] == pytest.approx(5e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 0.5, 0.85, 0.999])
def test_learning_rate_of_few_steps_stays_in_range(steps, warmup):
    for step in range(steps):
        assert 0 < learning_rate(Recipe(lr=0.1, warmup=warmup), step, steps) <= 0.1


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (9, [1, 2, 4, 6, 8, 9]),
        (40, [1, 2, 4, 8, 10, 15, 20, 25, 30, 35, 40]),
        (800, [1, 2, 4, 8, 16, 32, 64, 128, *range(200, 801, 100)]),
    ],
)
def test_snapshot_schedule_doubles_goes_on_in_steps_and_ends_with_the_last(epochs, expected):
    assert snapshot_schedule(epochs) == expected


def test_heads_are_a_function_of_the_seed_and_equally_deep():
    r = Recipe(hidden=12, projection=6, seed=5)
    encoder_like = SimpleNamespace(dim=9)
    made = {method: build_objective(r, method, encoder_like, 4) for method in ("supervised", "supcon", "simclr-clean")}
    assert {name: type(kind).__name__ for name, kind in made.items()} == {
        "supervised": "Supervised",
        "supcon": "SupCon",
        "simclr-clean": "SimCLR",
    }
    for method, objective in made.items():
        layers = [m for m in objective.modules() if isinstance(m, nn.Linear)]
        assert [(m.in_features, m.out_features) for m in layers] == [(9, 12), (12, 4 if method == "supervised" else 6)]
        torch.manual_seed(0)
        again = build_objective(r, method, encoder_like, 4).state_dict()
        assert all(torch.equal(v, again[k]) for k, v in objective.state_dict().items())
        other = build_objective(r.replace(seed=6), method, encoder_like, 4)
        assert not torch.equal(next(iter(other.parameters())), next(iter(objective.parameters())))


def test_drawing_heads_leaves_the_global_stream_alone():
    state = torch.get_rng_state()
    build_objective(Recipe(), "supcon", SimpleNamespace(dim=9), 4)
    assert torch.equal(torch.get_rng_state(), state)


# --- precision and devices


@pytest.mark.parametrize("arm", ["supervised-clean", "supcon-clean", "simclr-clean"])
def test_bf16_autocast_runs_near_float32_and_keeps_float32_weights(tmp_path, arm):
    losses = {}
    for precision in ("float32", "bf16"):
        fit(recipe(arm=arm, precision=precision), tmp_path / precision)
        checkpoint = load_checkpoint(tmp_path / precision)
        tensors = [*checkpoint.encoder.parameters(), *checkpoint.head.values()]
        assert {t.dtype for t in tensors} <= {torch.float32, torch.int64}
        losses[precision] = history(tmp_path / precision)[-1]["loss"]
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)


@pytest.mark.parametrize(
    ("width", "precision", "last"), [(16, "bf16", True), (16, "float32", False), (12, "bf16", False)]
)
def test_a_cpu_keeps_channels_last_where_no_release_is_known_to_crash(width, precision, last):
    """torch 2.15.0 corrupts the heap at odd batches where a channel count is no multiple of 16."""
    experiment = prepare(recipe(arm="supervised-clean", width=width, precision=precision, batch=33))
    training = Training(experiment, torch.device("cpu"))
    kernels = [p for p in training.encoder.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert {p.is_contiguous(memory_format=torch.channels_last) for p in kernels} == {last}
    assert training.model.layout == (torch.channels_last if last else torch.contiguous_format)
    assert math.isfinite(training.epoch(0)["loss"])
    assert len(kernels) > 5


def test_bf16_losses_are_float32(tmp_path, monkeypatch):
    """design.md, Speed: loss logits in fp32. Per-sample losses are science.md's measure 9, and bf16 has 3 digits."""
    from intertwine.training.objectives import SimCLR, SupCon, Supervised

    dtypes = set()
    for kind in (SimCLR, SupCon, Supervised):

        def seen(this, views, labels, forward=kind.forward):
            loss = forward(this, views, labels)
            dtypes.add((type(this).__name__, loss.total.dtype, loss.per_sample.dtype))
            return loss

        monkeypatch.setattr(kind, "forward", seen)
    for arm in ("supervised-clean", "supcon-clean", "simclr-clean"):
        fit(recipe(arm=arm, precision="bf16", epochs=1, batch=100), tmp_path / arm)
    assert dtypes == {(name, torch.float32, torch.float32) for name in ("Supervised", "SupCon", "SimCLR")}


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "", "mps", "CPU"])
def test_unknown_devices_are_refused_before_any_work(tmp_path, device):
    with pytest.raises(InputError, match=f"device: expected auto, cpu or cuda, received {device!r}"):
        fit(recipe(), tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_cuda_without_cuda_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device: expected a CUDA device for 'cuda', but PyTorch sees none"):
        fit(recipe(), tmp_path / "run", device="cuda")
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
    r = recipe(arm=arm, optimiser=optimiser, lr=1e30, warmup=0.0)
    with pytest.raises(InputError, match=r"lr: .* no longer finite in epoch 1.*1e\+30") as caught:
        fit(r, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "resume.pt").exists(), "or the next try would start from NaN"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("eval_every", [1, 2])
def test_a_last_step_that_breaks_the_weights_is_noticed_and_named(tmp_path, eval_every):
    """One step an epoch: the loss of epoch 1 is that of the initial weights, and only the weights are broken."""
    r = recipe(arm="supervised-clean", optimiser="sgd", lr=1e30, warmup=0.0, batch=200, eval_every=eval_every)
    with pytest.raises(InputError, match=r"^lr: "):
        fit(r, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_batch_larger_than_the_data_is_refused_before_any_file(tmp_path):
    with pytest.raises(InputError, match="batch: expected at most the 200 training images, received 201"):
        fit(recipe(batch=201), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert fit(recipe(batch=200, epochs=1, arm="supervised-benign"), tmp_path / "run").is_dir()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="out: "):
        fit(recipe(epochs=1), tmp_path / place)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_bad_data_leave_no_folder(tmp_path):
    with pytest.raises(InputError, match="target: expected a class from 0 to 9, received 12"):
        fit(recipe(target=12), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_compiled_encoder_learns_the_same_to_tolerance(tmp_path, monkeypatch):
    """Through the tracer and autograd's capture, but without a C++ compiler, which not every machine has."""
    calls, compile = [], torch.compile

    def traced(module, **options):
        calls.append(module)
        return compile(module, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", traced)
    runs = {}
    for compiled in (False, True):
        folder = fit(recipe(arm="moco", queue=64, compile=compiled), tmp_path / str(compiled), device="cpu")
        runs[compiled] = load_checkpoint(folder)
    assert len(calls) == 1
    assert list(runs[True].encoder.state_dict()) == list(runs[False].encoder.state_dict())
    for row, other in zip(history(tmp_path / "True"), history(tmp_path / "False"), strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    for name, value in runs[False].encoder.state_dict().items():
        torch.testing.assert_close(runs[True].encoder.state_dict()[name], value, atol=2e-2, rtol=1e-2)
