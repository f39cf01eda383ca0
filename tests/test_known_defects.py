"""Defects of other toolkits that we have met, each with a test that our own code does not have it.

Small on purpose: one defect, one test, in the order of the list; the files of each room test the same code in depth.
"""

import ast
import hashlib
import importlib
import math
import os
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from intertwine.analysis.panel import panel
from intertwine.analysis.runs.measurement import measure_run
from intertwine.analysis.runs.run import load_run
from intertwine.analysis.runs.side_tables import EMBEDDING, embed_run, gather, write_table
from intertwine.checkpoints import load_encoder, save_checkpoint
from intertwine.probes.alignment import align
from intertwine.probes.gradients import block_gradients, layer_weights
from intertwine.probes.layer_probes import class_probes, frozen
from intertwine.probes.linear import source_accuracy, trigger_separability
from intertwine.probes.logistic import class_probe, fit_logistic, trigger_probe
from intertwine.representations import (
    EncoderSpec,
    InputError,
    accuracy,
    attack_success,
    build_encoder,
    capture,
    cka,
    knn_predict,
    neighbour_graph,
    umap,
    wrap,
)
from intertwine.representations.capture import capture_batches, recording
from intertwine.representations.encoders import ARCHITECTURES
from intertwine.representations.similarity import CKAPairs, cka_masked, gram, minibatch_cka
from intertwine.training import ImageSet, Recipe, fit, make_plan
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot

ROOMS = ("representations", "checkpoints", "training", "probes", "analysis", "figures")
TINY = Recipe(
    arm="supervised-dirty",
    n_train=200,
    n_test=120,
    image_size=8,
    width=4,
    hidden=16,
    projection=8,
    trigger_cells=2,
    batch=50,
    epochs=2,
    seed=3,
)


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pictures(n: int, size: int = 8, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def small_encoder():
    return build_encoder(EncoderSpec("resnet8", width=4, image_size=8))


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in module.modules())


def every_cka(x: Tensor, y: Tensor) -> dict[str, float]:
    """Debiased linear CKA by each of our routes; the minibatch estimate too, of one batch: there it is exact."""
    every = torch.ones(1, len(x), dtype=torch.bool)
    pairs = CKAPairs()
    for a, b in zip(x.split(7), y.split(7), strict=True):
        pairs.update({"": a}, {"": b})
    return {
        "features": cka(x, y),
        "grams": float(cka_masked(gram(x), gram(y), every)),
        "stream": float(pairs.compute().values),
        "minibatch": minibatch_cka([(x, y)]),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two trained runs of one plan: ``poisoned`` and its ``benign``."""
    folder = tmp_path_factory.mktemp("runs")
    fit(TINY, folder / "poisoned", device="cpu")
    fit(replace(TINY, arm="supervised-benign"), folder / "benign", device="cpu")
    return folder


# --- capture


def test_in_place_relu_does_not_overwrite_captured_outputs():
    """A hook kept the output itself, and the ReLU behind the layer wrote into it."""
    convolution = nn.Conv2d(3, 4, 3)
    encoder = wrap(nn.Sequential(convolution, nn.ReLU(inplace=True), nn.Flatten()), layers={"conv": "0"})
    with torch.no_grad():
        expected = convolution(pictures(5).float() / 255).mean((2, 3))
    assert (expected < 0).any()
    torch.testing.assert_close(capture(encoder, pictures(5))["conv"], expected)


def test_hooks_are_always_removed():
    """Hooks stayed on the model and fired for ever after: whatever ends the capture, none may stay."""
    encoder = small_encoder()

    def fails(x: Tensor) -> Tensor:
        raise RuntimeError("in the middle")

    capture(encoder, pictures(4))
    with pytest.raises(RuntimeError, match="in the middle"):
        capture(encoder, pictures(4), transform=fails)
    with pytest.raises(InputError, match="layers"):
        capture(encoder, pictures(4), layers=["layer1", "nowhere"])
    batches = capture_batches(encoder, pictures(4), batch_size=2)
    next(batches)
    assert hooks(encoder) == 5  # one for each layer, while batches are still to come
    batches.close()
    with recording(encoder, encoder.layers):
        assert hooks(encoder) == 5
    assert hooks(encoder) == 0


# --- CKA


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e8])
def test_cka_has_no_absolute_epsilon(scale):
    """1e-6 was added to the denominator: CKA of small activations went to 0."""
    x, y = randn(1, 30, 6), randn(2, 30, 4)
    y[:, 0] += x[:, 0]
    expected = every_cka(x, y)
    assert expected["features"] > 0.1
    for route, value in every_cka(scale * x, scale * y).items():
        assert value == pytest.approx(expected[route], rel=1e-9), route


@pytest.mark.parametrize("d", [3, 40])
def test_debiased_cka_of_itself_is_one(d):
    """The square root was missing in the debiased denominator: no longer 1 for one representation given twice."""
    x = 5 * randn(1, 30, d)
    for other in (x, 0.01 * x):
        for route, value in every_cka(x, other).items():
            assert value == pytest.approx(1, abs=1e-9), route
    assert cka(x, x, kernel="rbf") == pytest.approx(1, abs=1e-9)


def test_no_clamping_of_negative_cka():
    """Values were cut to [0, 1]: the mean over independent pairs is then far above the 0 that it estimates."""
    values = torch.tensor([list(every_cka(randn(i, 14, 6), randn(1000 + i, 14, 6)).values()) for i in range(300)])
    error = values.std(0) / 300**0.5
    assert (values.min(0).values < -0.1).all()
    assert (values.mean(0).abs() < 3 * error).all()
    assert (values.clamp(0, 1).mean(0) > 4 * error).all()  # clamped, they would have failed the line above
    # Nor is the gradients' cosine cut, at the other end: of one task behind noise it is 1 on average.
    mean = torch.ones(24, 50, dtype=torch.float64)
    both = [torch.cat([mean + 2 * randn(2 * i, 24, 50), mean + 2 * randn(2 * i + 1, 24, 50)]) for i in range(40)]
    cosines = torch.tensor([align(g @ g.T).value for g in both])
    assert (cosines > 1).any()
    assert float(cosines.mean()) == pytest.approx(1, abs=3 * float(cosines.std()) / 40**0.5)


# --- short last batches


def slow_hsic(x: Tensor, y: Tensor) -> float:
    """HSIC₁ of the linear kernels, entry by entry."""
    n = len(x)
    k = [[0.0 if i == j else float(x[i] @ x[j]) for j in range(n)] for i in range(n)]
    m = [[0.0 if i == j else float(y[i] @ y[j]) for j in range(n)] for i in range(n)]
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    sums = sum(map(sum, k)) * sum(map(sum, m))
    path = sum(sum(k[i]) * sum(m[i]) for i in range(n))
    return (trace + sums / ((n - 1) * (n - 2)) - 2 * path / (n - 2)) / (n * (n - 3))


def test_short_last_batch_is_weighted_by_its_rows():
    """Means over batches counted a last batch of five images as much as a full one."""
    x, y = randn(1, 29, 3), randn(2, 29, 3)
    y[:, 0] += x[:, 0]
    parts = list(zip(x.split(12), y.split(12), strict=True))
    assert [len(a) for a, _ in parts] == [12, 12, 5]

    def ratio(weights: list[float]) -> float:
        xy, xx, yy = (
            sum(w * slow_hsic(*pair(a, b)) for w, (a, b) in zip(weights, parts, strict=True))
            for pair in (lambda a, b: (a, b), lambda a, b: (a, a), lambda a, b: (b, b))
        )
        return xy / math.sqrt(xx * yy)

    assert minibatch_cka(parts) == pytest.approx(ratio([12, 12, 5]), rel=1e-9)
    assert abs(ratio([12, 12, 5]) - ratio([1, 1, 1])) > 0.01
    # What is exact does not depend on batches at all.
    assert every_cka(x, y)["stream"] == pytest.approx(cka(x, y), rel=1e-9)
    # Nor does the gradient of a mean loss that is taken in pieces (here of 32 and 5 images).
    encoder, images, labels = small_encoder().eval(), pictures(37), torch.arange(37) % 3
    names = {"conv1": layer_weights(encoder)["stem"]}
    found = block_gradients(
        encoder, lambda f, i: cross_entropy(f[:, :3], labels[i]), [torch.arange(37)], images, weights=names
    )
    weight = encoder.backbone.get_parameter(names["conv1"][0])
    (expected,) = torch.autograd.grad(cross_entropy(encoder(images)[:, :3], labels), weight)
    torch.testing.assert_close(found["conv1"][0], expected.flatten(), rtol=1e-4, atol=1e-6)


def test_last_short_batch_counts_in_accuracy(runs):
    """``drop_last`` in evaluation: of seven images the last, here the one that is wrong, was never looked at."""
    images = torch.zeros(7, 3, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    images[torch.arange(7), labels] = 200
    labels[6] = 1
    features = capture(wrap(nn.Flatten()), images, batch_size=3)["features"]
    predicted = knn_predict(features, features[:3], labels[:3], k=1)
    assert float(accuracy(predicted, labels).mean()) == pytest.approx(6 / 7)
    # And a panel reads its rates off all test images, those beyond the ones that it draws included.
    rows = measure_run(load_run(runs / "poisoned"), readings=["silhouette"], most=100)
    assert set(rows[(rows.measure == "acc") & (rows.reference == "")].n) == {120}


# --- neighbours


def test_knn_drops_no_first_column_as_self():
    """Column 0 was taken for the query itself. Among duplicates it is another point; in a bank it is the best one."""
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    graph = neighbour_graph(x, 3)
    for i, row in enumerate(graph.indices.tolist()):
        assert sorted(row) == [j for j in range(4) if j != i]
    assert graph.distances[:3, :2].eq(0).all()
    labels = torch.tensor([0, 0, 0, 1])
    assert knn_predict(x[3:], x, labels, k=1).tolist() == [1]


# --- what small samples and high dimensions feign


@pytest.mark.parametrize(("n", "biased"), [(64, 0.89), (256, 0.66), (10_000, 0.05)])
def test_debiased_cka_of_noise_is_zero_where_the_biased_one_is_not(n, biased):
    """Noise of d = 512 has a biased CKA of .89 at 64 images: without the debiased form everything looks alike."""
    x, y = randn(1, n, 512), randn(2, n, 512)
    assert cka(x, y, debiased=False) == pytest.approx(biased, abs=0.01)
    assert cka(x, y) == pytest.approx(0, abs=0.05)


def test_a_random_label_probe_is_not_believed():
    """400 random labels are learned by heart, accuracy 1.00: only held-out scores beside a control say anything."""
    x, labels = randn(1, 400, 512), torch.randint(2, (400,), generator=torch.Generator().manual_seed(3))
    assert float((fit_logistic(x, labels).predict(x) == labels).double().mean()) == 1
    found = class_probe(x, labels, folds=2)
    assert found.memorised == 1
    assert found.accuracy == pytest.approx(0.5, abs=0.1)  # four standard errors
    assert found.selectivity == pytest.approx(0, abs=0.12)


def test_a_few_shifted_rows_are_read_as_a_subset_of_their_own(runs):
    """A shift that one row in a hundred shares lifted the CKA of independent data from .03 to above .6."""
    x, y = randn(1, 2000, 64), randn(2, 2000, 64)
    shifted = torch.arange(2000) < 20
    for z in (x, y):
        z[shifted] += 4.5
    assert cka(x, y) > 0.6
    assert cka(x[~shifted], y[~shifted]) == pytest.approx(0, abs=0.03)
    # So no row of a panel compares representations on a mixture of clean and triggered images.
    rows = measure_run(load_run(runs / "poisoned"), load_run(runs / "benign"), readings=["cka"], layers=["features"])
    across = rows[(rows.measure == "cka") & (rows.layer_b != "")]
    assert set(across.subset) == {"clean_other", "triggered", "clean_target", "triggered_target"}


def test_gradient_cosine_does_not_shrink_with_noise():
    """The plain cosine of two small batches' gradients read .23 where the tasks' true cosine is .6."""
    e = torch.linalg.qr(randn(9, 200, 2)).Q.T
    benign, backdoor = e[0], 0.6 * e[0] + 0.8 * e[1]
    naive, corrected = [], []
    for seed in range(20):
        g, h = (mean + 0.09 * randn(2 * seed + i, 24, 200) for i, mean in enumerate((benign, backdoor)))
        both = torch.cat([g, h])
        naive += cosine_similarity(g, h).tolist()
        found = align(both @ both.T)
        assert found.status == "ok"
        corrected.append(found.value)
    assert sum(naive) / len(naive) == pytest.approx(0.23, abs=0.03)
    assert sum(corrected) / len(corrected) == pytest.approx(0.6, abs=0.03)


# --- rates


def test_asr_counts_images_of_other_classes_sent_to_the_target():
    """Triggered images of the target class counted as successes; or any wrong class did."""
    labels, predicted = torch.tensor([1, 1, 1, 0, 2, 2, 0]), torch.tensor([1, 1, 1, 1, 0, 2, 2])
    assert attack_success(predicted, labels, 1).tolist() == [1, 0, 0, 0]  # not 4/7, and not 3/4 for being wrong
    assert attack_success(predicted, labels, 2).tolist() == [0, 0, 0, 0, 1]
    assert float(attack_success(predicted, labels, 1, including_target=True).mean()) == pytest.approx(4 / 7)
    with pytest.raises(InputError, match="other than the target"):
        attack_success(predicted[:3], labels[:3], 1)


def test_probes_are_scored_on_images_that_they_have_not_seen():
    """Fitted and scored on the same samples a probe of noise is right nearly always; so is one that met its pair."""
    x, noise = randn(1, 120, 300), randn(2, 120, 300)
    labels = torch.randint(2, (120,), generator=torch.Generator().manual_seed(0))
    assert class_probe(x, labels).accuracy == pytest.approx(0.5, abs=0.18)  # four standard errors
    assert float(source_accuracy(x, labels).mean()) == pytest.approx(0.5, abs=0.18)
    assert trigger_probe(x, noise).accuracy == pytest.approx(0.5, abs=0.18)
    assert trigger_separability(x, noise).auc == pytest.approx(0.5, abs=0.18)
    # Rows of one image stay together: its copies would else give a random label away.
    copies, image = x.repeat(3, 1), torch.arange(120).repeat(3)
    assert class_probe(copies, labels.repeat(3)).accuracy > 0.9
    assert class_probe(copies, labels.repeat(3), groups=image).accuracy == pytest.approx(0.5, abs=0.18)


def test_a_frozen_encoder_is_frozen():
    """A "frozen" backbone went on learning: its BN statistics in training mode, or its weights."""
    encoder, images = small_encoder().train(), pictures(40)
    with pytest.raises(InputError, match="running_mean"), frozen(encoder), torch.no_grad():
        encoder(images)
    with pytest.raises(InputError, match=r"conv1\.weight"), frozen(encoder), torch.no_grad():
        encoder.backbone.conv1.weight += 1e-7
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    labels = torch.arange(40) % 2
    class_probes(encoder, images, labels, layers=["features"])
    block_gradients(encoder, lambda f, i: cross_entropy(f, labels[i]), [torch.arange(40)], images)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(m.training for m in encoder.modules())
    assert all(p.requires_grad and p.grad is None for p in encoder.parameters())


class Colours(nn.Module):
    """Reads the class off the red channel, or 0 if ``fooled`` and the blue one is lit; a little green is noise."""

    def __init__(self, fooled: bool) -> None:
        super().__init__()
        self.fooled = fooled

    def forward(self, x: Tensor) -> Tensor:
        classes = (x[:, 0].mean((1, 2)) * 255 / 40).round().long()
        if self.fooled:
            classes[x[:, 2].mean((1, 2)) > 0.5] = 0
        return one_hot(classes, 3).float() + 0.1 * x[:, 1, 0, :3]


def test_asr_is_never_reported_without_the_clean_benign(runs):
    """An ASR of 1 says nothing if the clean encoder's is 1 too: both stand in the table and decide what is evidence."""
    rows = measure_run(load_run(runs / "poisoned"), load_run(runs / "benign"), readings=["silhouette"])
    asr = rows[rows.measure == "asr"]
    for evaluator in ("knn", "ridge"):
        of_evaluator = asr[asr.params.str.contains(f"evaluator={evaluator}")]
        assert list(of_evaluator.reference).count("") == list(of_evaluator.reference).count("benign") == 1

    images, labels = pictures(240), torch.arange(240) % 3
    images[:, 0] = (40 * labels).to(torch.uint8).view(-1, 1, 1)
    images[:, 2] = 0

    def lit(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 2] = 1
        return x

    for benign, status in ((Colours(False), "ok"), (Colours(True), "not_evaluable"), (None, "not_evaluable")):
        encoder, clean = wrap(Colours(True)), None if benign is None else wrap(benign)
        rows = panel(encoder, images, labels, lit, 0, benign=clean, readings=["silhouette"])
        own = rows[(rows.reference == "") & (rows.subset.str.startswith("triggered"))]
        assert own[own.measure == "asr"].value.tolist() == [1, 1]
        assert set(own[own.measure == "silhouette"].status) == {status}
        # Without a benign twin (the third) the random-init reference stands for it: here it is fooled as well.
        assert "asr" in set(rows[rows.reference == ("benign" if benign else "random-init")].measure)


# --- training and files


@pytest.mark.parametrize("finished", [True, False])
def test_resume_into_the_wrong_run(runs, tmp_path, finished):
    """Seed and augmentation were not compared: a run went on, or was taken for done, as another one."""

    class Stop(Exception):
        pass

    def stop(done, total, row):
        raise Stop

    folder = runs / "poisoned" if finished else tmp_path
    if not finished:
        with pytest.raises(Stop):
            fit(TINY, folder, device="cpu", on_epoch=stop)
    others = {"seed": 4, "crop": 0.5, "flip": 0.4, "jitter": 0.1, "hue": 0.0, "jitter_p": 0.5, "grayscale": 0.0}
    others |= {"arm": "supervised-clean", "poison_fraction": 0.4, "strength": 0.2}
    for field, value in others.items():
        with pytest.raises(InputError, match=rf"another run: .*{field} was"):
            fit(replace(TINY, **{field: value}), folder, device="cpu")
    fit(TINY, folder, device="cpu", on_epoch=lambda done, total, row: None)  # the run itself goes on


def test_checkpoint_keys_are_matched_by_name(tmp_path, monkeypatch):
    """Tensors were assigned in the order of the file, whatever they were called."""
    encoder = small_encoder()
    for seed, p in enumerate(encoder.backbone.parameters()):
        p.data = randn(seed, *p.shape).float()
    own = encoder.backbone.state_dict()
    save_checkpoint(tmp_path, encoder, {}, {}, "epoch\n")
    stored = safetensors.torch.load_file(tmp_path / "encoder.safetensors")
    assert list(stored) != list(own)  # another order in the file than in the module
    loaded = load_encoder(tmp_path).backbone.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in loaded.items())
    renamed = {name.replace("bn1.weight", "norm1.weight"): value for name, value in own.items()}
    monkeypatch.setattr(encoder.backbone, "state_dict", lambda: renamed)
    save_checkpoint(tmp_path, encoder, {}, {}, "epoch\n")
    with pytest.raises(InputError, match=r"lacks .*bn1\.weight"):
        load_encoder(tmp_path)


def test_umap_is_seeded_and_its_coordinates_are_kept(runs, tmp_path, monkeypatch):
    """t-SNE or UMAP without seed, of which only the picture stayed.

    There is no t-SNE here. UMAP itself, which takes a quarter of a minute to compile, runs twice in
    ``representations/test_embedding.py``; in its place stands one that draws from what it is given.
    """

    class Drawn:
        def __init__(self, random_state=None, **options):
            self.stream = torch.Generator()
            self.stream.seed() if random_state is None else self.stream.manual_seed(random_state)

        def fit_transform(self, x):
            return torch.rand(len(x), 2, generator=self.stream).double().numpy()

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Drawn))
    x = randn(0, 20, 4)
    assert torch.equal(umap(x, seed=1), umap(x, seed=1))
    assert not torch.equal(umap(x, seed=1), umap(x, seed=2))
    run = load_run(runs / "poisoned")
    table = embed_run(run)
    assert table.equals(embed_run(run))
    write_table(table, tmp_path / EMBEDDING)
    back = gather([tmp_path], EMBEDDING)
    assert len(back) == 120 + int((run.experiment.test.labels != 0).sum())
    assert back[["x", "y"]].equals(table[["x", "y"]])
    assert {"image", "label", "triggered", "hit"} <= set(back)


def test_nothing_unpickles(tmp_path):
    """``torch.load`` without ``weights_only`` runs whatever a file says."""
    calls = {}
    for room in ROOMS:
        for path in Path(importlib.import_module(f"intertwine.{room}").__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                    calls.setdefault(ast.unparse(node.func), []).append(options)
    assert all(options.get("weights_only") == "True" for options in calls["torch.load"])
    assert all(options.get("allow_pickle") == "False" for options in calls["np.load"])
    assert not calls.keys() & {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "pd.read_pickle"}

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    payload = pickle.dumps({"identity": Hostile()}, protocol=2)
    (tmp_path / "resume.pt").write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.raises(InputError, match="corrupted"):
        fit(TINY, tmp_path, device="cpu")
    assert not (tmp_path / "executed").exists()
    pickle.loads(payload)
    assert (tmp_path / "executed").exists(), "it does run where it is unpickled"


def test_poison_rate_says_of_what(runs):
    """The same "10 %" meant a tenth of the target class in one place and of all images in another."""
    labels = torch.tensor([0] * 20 + [1] * 80)
    train = ImageSet(pictures(100), labels, ("a", "b"), "planted")
    for base, count in (("target_class", 2), ("dataset", 10)):
        plan = make_plan(train, target=0, fraction=0.1, base=base, trigger="t", seed=0)
        assert len(plan.target_indices) == len(plan.other_indices) == plan.count == count
    with pytest.raises(InputError, match="poison_base: expected 'target_class' or 'dataset'"):
        make_plan(train, target=0, fraction=0.1, base="class", trigger="t", seed=0)
    # The count itself, which has no base to mistake, stands beside every ASR of the run.
    run = load_run(runs / "poisoned")
    rows = measure_run(run, readings=["silhouette"])
    asr = rows[(rows.measure == "asr") & (rows.reference == "")]
    assert asr.params.str.contains(f"poisons={run.experiment.plan.count}$").all()
    assert run.experiment.plan.count == int(run.experiment.mask.sum())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_imagenet_stem_on_small_images(arch):
    """Stride and max-pooling left 8×8 of 32×32 before the first block, and SimCLR stuck at 76 %."""
    encoder = build_encoder(EncoderSpec(arch, width=4, image_size=32)).eval()
    seen = []
    handle = encoder.backbone.layer1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-2:]))
    encoder(pictures(1, 32))
    handle.remove()
    assert seen == [(32, 32)]
    assert not any(isinstance(m, nn.MaxPool2d | nn.AvgPool2d) for m in encoder.modules())
