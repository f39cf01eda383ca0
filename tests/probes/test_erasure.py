"""LEACE's theorem, streaming against all at once, fewer rows than features, rare triggers; INLP's stop; the hook."""

from itertools import product

import pytest
import torch
from intertwine.probes.erasure import Eraser, erasing
from intertwine.probes.inlp import fit_inlp
from intertwine.probes.leace import LeaceFitter, fit_leace
from intertwine.probes.logistic import fit_logistic
from intertwine.representations import EncoderSpec, InputError, build_encoder, capture
from torch.nn.functional import one_hot

from tests.factories import case, randn


def correlated(seed: int, n: int, d: int) -> torch.Tensor:
    """Features with every correlation between them, off centre."""
    return randn(seed, n, d) @ randn(88, d, d) + 3


def cross(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Largest correlation in absolute value between a feature and a column of z."""
    a, b = x.double() - x.double().mean(0), z.double() - z.double().mean(0)
    sizes = (a.norm(dim=0).unsqueeze(1) * b.norm(dim=0)).clamp(min=1e-9)
    return ((a.T @ b) / sizes).abs().max()


def concepts(x: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes read off x with noise, as labels and one-hot."""
    labels = (x @ randn(5, x.shape[1], classes) + randn(6, len(x), classes)).argmax(1)
    return labels, one_hot(labels, classes)


# --- LEACE: the theorem


def test_no_linear_trace_is_left():
    """cov(r(x), z) = 0, n < d included; the mean stays; rank K − 1, though the K one-hot columns depend linearly."""
    for classes, shrinkage, (n, d) in product((2, 5), (0.0, 0.3, 1.0), ((300, 12), (40, 40), (30, 80))):
        with case(classes, shrinkage, n, d):
            x = correlated(0, n, d)
            labels, z = concepts(x, classes)
            eraser = fit_leace(x, z, shrinkage=shrinkage)
            erased = eraser(x)
            assert cross(x, z) > 0.2
            assert ((x - x.mean(0)).T @ (z - z.double().mean(0))).norm() > 1
            assert ((erased - x.mean(0)).T @ (z - z.double().mean(0))).abs().max() < 1e-7 * n * x.abs().max()
            assert eraser.rank == len(labels.unique()) - 1
            torch.testing.assert_close(erased.mean(0), x.mean(0))
            torch.testing.assert_close(eraser(erased), erased)  # a projection
            torch.testing.assert_close(eraser.right @ eraser.left, torch.eye(eraser.rank).double(), atol=1e-7, rtol=0)


@pytest.mark.parametrize(("n", "d"), [(200, 10), (30, 60)])
def test_no_probe_beats_chance_on_what_was_erased(n, d):
    """The weights of a logistic probe vanish: it says the classes' frequencies, whatever its penalty."""
    x = correlated(0, n, d)
    labels, z = concepts(x, 3)
    erased = fit_leace(x, z)(x)
    assert float((fit_logistic(x, labels).predict(x) == labels).double().mean()) > 0.7
    for penalty in (1e-4, 1e-2):
        said = fit_logistic(erased, labels, penalty=penalty)(erased).softmax(1)
        torch.testing.assert_close(said, z.double().mean(0).expand(n, 3), atol=5e-3, rtol=0)


def test_it_moves_the_features_least_in_every_norm():
    """Among affine maps x − A·B·(x − mean) with B·cov(x, z) = 1 and A = cov(x, z), all of which erase z: the orthogonal
    one (B = A⁺) and random oblique ones move x more, seen by any inner product."""
    x = correlated(0, 400, 6)
    z = concepts(x, 3)[1][:, :2].double()
    a = (x - x.mean(0)).T @ (z - z.mean(0)) / 400
    others = [torch.linalg.pinv(a)]
    for seed in range(20):
        c = randn(seed, 2, 6)
        others.append(torch.linalg.solve(c @ a, c))
    ours = fit_leace(x, z)
    for seed in range(5):
        measured = randn(100 + seed, 6, 6)
        change = ((x - ours(x)) @ measured).square().sum()
        for b in others:
            moved = (x - x.mean(0)) @ b.T @ a.T
            assert cross(x - moved, z) < 1e-10
            assert change < (moved @ measured).square().sum()


def test_it_is_the_published_formula():
    """r(x) = x − W⁺QW(x − mean), W the inverse root of the covariance, Q the projection onto the columns of W·cov."""
    x = correlated(0, 100, 7)
    _, z = concepts(x, 4)
    centred, concept = x - x.mean(0), z - z.double().mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 99)
    w, back = vectors / values.sqrt() @ vectors.T, vectors * values.sqrt() @ vectors.T
    m = w @ centred.T @ concept / 99
    q = m @ torch.linalg.pinv(m, rtol=1e-9)
    torch.testing.assert_close(fit_leace(x, z)(x), x - centred @ (back @ q @ w).T, atol=1e-8, rtol=0)


def test_it_goes_along_with_any_change_of_coordinates():
    """Erase, then map = map, then erase; also where one feature's unit is 10⁹ times the other's."""
    x = correlated(0, 200, 5)
    _, z = concepts(x, 2)
    scales = torch.tensor([1e-9, 1.0, 1e9, 1e-3, 1e6]).double()
    scaled = fit_leace(x * scales, z)(x * scales) / scales
    torch.testing.assert_close(scaled, fit_leace(x, z)(x), atol=1e-7, rtol=0)
    mixing = randn(1, 5, 5)
    torch.testing.assert_close(fit_leace(x @ mixing, z)(x @ mixing), fit_leace(x, z)(x) @ mixing, atol=1e-7, rtol=0)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_unit_of_the_concept_does_not_matter(scale):
    x = correlated(0, 200, 5)
    z = x[:, 0] + randn(1, 200)
    torch.testing.assert_close(fit_leace(x, scale * z)(x), fit_leace(x, z)(x))


def test_defect_rare_triggers_skipped_by_an_absolute_tolerance():
    """0.1 % of rows triggered: the whitened cross-covariance with z in {0, 1} has one singular value, below .01."""
    x = randn(0, 5000, 20)
    z = torch.zeros(5000)
    z[:5] = 1
    x[:5, 0] += 3.6
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 4999)
    singular = (vectors / values.sqrt() @ vectors.T @ centred.T @ (z.double() - z.double().mean()) / 4999).norm()
    assert 0.002 < singular < 0.01
    eraser = fit_leace(x, z)
    assert eraser.rank == 1
    assert cross(eraser(x), z) < 1e-9
    assert LeaceFitter(20, 1).update(x, z).eraser().rank == 1


# --- LEACE: streaming


def test_streaming_equals_all_at_once():
    for sizes, mean in product(([300], [1] * 20 + [280], [299, 1], [64, 64, 64, 64, 44]), (0.0, 1e5)):
        with case(sizes, mean):
            x = correlated(0, 300, 8) + mean
            _, z = concepts(x - mean, 3)
            fitter = LeaceFitter(8, 3)
            for part_x, part_z in zip(x.split(sizes), z.split(sizes), strict=True):
                fitter.update(part_x, part_z)
            assert fitter.n == 300
            torch.testing.assert_close(fitter.eraser()(x), fit_leace(x, z)(x), atol=1e-7, rtol=0)
            assert cross(fitter.eraser()(x), z) < 1e-7


def test_streaming_equals_all_at_once_with_fewer_rows_than_features():
    """All at once decomposes the rows, streaming their covariance."""
    x = correlated(0, 30, 50)
    _, z = concepts(x, 3)
    for shrinkage in (0.0, 0.2):
        streamed = LeaceFitter(50, 3).update(x[:11], z[:11]).update(x[11:], z[11:]).eraser(shrinkage=shrinkage)
        torch.testing.assert_close(streamed(x), fit_leace(x, z, shrinkage=shrinkage)(x), atol=1e-6, rtol=0)


def test_an_eraser_is_of_the_rows_so_far():
    x = correlated(0, 60, 4)
    z = x[:, 0] > 3
    fitter = LeaceFitter(4, 1).update(x[:30], z[:30])
    first = fitter.eraser()
    kept = first(x).clone()
    fitter.update(x[30:], z[30:])
    assert torch.equal(first(x), kept)
    assert not torch.allclose(fitter.eraser()(x), kept)


# --- LEACE: the degenerate and the hostile


def test_a_constant_concept_changes_nothing():
    for z, d in product((torch.zeros(40), torch.ones(40, 2), torch.full((40,), 1e9)), (5, 90)):
        with case(z, d):
            x = correlated(0, 40, d)
            eraser = fit_leace(x, z)
            assert eraser.rank == 0
            assert torch.equal(eraser(x), x)


@pytest.mark.parametrize("d", [5, 90])
def test_a_concept_without_correlation_changes_nothing(d):
    """Each image with and without a trigger that does nothing."""
    x = correlated(0, 40, d)
    eraser = fit_leace(torch.cat([x, x]), torch.arange(80) // 40)
    assert eraser.rank == 0


@pytest.mark.parametrize("d", [4, 90])
def test_constant_and_duplicate_features(d):
    """Constants stay to the bit; a feature that is there twice is erased twice."""
    x = correlated(0, 60, d)
    z = x[:, 0] > 3
    both = torch.cat([x, torch.full((60, 1), 7.3).double(), x], 1)
    erased = fit_leace(both, z)(both)
    assert torch.equal(erased[:, d], both[:, d])
    assert cross(erased[:, :d], z) < 1e-6
    torch.testing.assert_close(erased[:, :d], erased[:, d + 1 :], atol=1e-6, rtol=0)
    torch.testing.assert_close(erased[:, :d], fit_leace(x, z)(x), atol=1e-6, rtol=0)


def test_all_features_constant():
    x = torch.ones(20, 3)
    assert torch.equal(fit_leace(x, torch.arange(20) % 2)(x), x)


def test_shapes_and_types_of_what_is_erased():
    x = correlated(0, 50, 4)
    eraser = fit_leace(x, x[:, 1])
    assert eraser(x.float()).dtype == torch.float32
    assert eraser(x[0]).shape == (4,)
    torch.testing.assert_close(eraser(x.view(5, 10, 4)).view(50, 4), eraser(x))
    with pytest.raises(InputError, match=r"x: expected \(…, 4\), received \(50, 3\)"):
        eraser(x[:, :3])


def test_bad_input_to_leace_is_named():
    for x, z, shrinkage, message in (
        (torch.zeros(5), torch.zeros(5), 0.0, r"x, z: expected \(n, d\) and \(n, k\) or \(n,\), received \(5,\)"),
        (torch.zeros(5, 2), torch.zeros(4), 0.0, r"received \(5, 2\) and \(4,\)"),
        (torch.zeros(0, 2), torch.zeros(0), 0.0, r"received \(0, 2\) and \(0,\)"),
        (torch.zeros(1, 2), torch.zeros(1), 0.0, "x: expected at least 2 rows, received 1"),
        (torch.zeros(6, 2), torch.arange(6) // 2, 0.0, r"z: expected classes as one-hot columns .* \[0, 1, 2\]"),
        (torch.full((5, 2), torch.nan), torch.zeros(5), 0.0, "x, z: expected finite values"),
        (torch.zeros(5, 2), torch.full((5,), torch.inf), 0.0, "x, z: expected finite values"),
        (torch.zeros(5, 2), torch.zeros(5), -0.1, "shrinkage: expected a number from 0 to 1, received -0.1"),
        (torch.zeros(5, 2), torch.zeros(5), float("nan"), "shrinkage: expected a number from 0 to 1"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fit_leace(x, z, shrinkage=shrinkage)


def test_bad_input_to_the_fitter_is_named():
    with pytest.raises(InputError, match=r"x, z: expected widths \(3, 2\), received \(3, 1\)"):
        LeaceFitter(3, 2).update(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(InputError, match=r"x, z: expected widths \(3, 2\), received \(4, 1\)"):
        LeaceFitter(3, 2).update(torch.zeros(4, 4), torch.zeros(4))
    with pytest.raises(InputError, match="at least 2 rows, received 0"):
        LeaceFitter(3, 2).eraser()
    with pytest.raises(InputError, match="expected at least 1 of each, received 0 and 2"):
        LeaceFitter(0, 2)


def test_a_little_shrinkage_keeps_new_rows_near_where_they_were():
    """At n ≈ d plain LEACE moves rows it has not seen much further than it need; either takes out most of the gap."""
    moved, gaps = {0.0: 0.0, 0.1: 0.0}, {0.0: 0.0, 0.1: 0.0}
    for seed in range(5):
        x, z = randn(seed, 80, 75), torch.arange(80) % 2
        new, new_z = randn(50 + seed, 1000, 75), torch.arange(1000) % 2
        x[:, 0] += 4 * z
        new[:, 0] += 4 * new_z
        for shrinkage in moved:
            erased = fit_leace(x, z, shrinkage=shrinkage)(new)
            moved[shrinkage] += float((erased - new).square().sum(1).mean()) / 5
            gaps[shrinkage] += float(erased[new_z == 1, 0].mean() - erased[new_z == 0, 0].mean()) / 5
    assert moved[0.1] < moved[0.0] / 2
    assert max(map(abs, gaps.values())) < 2


# --- INLP


def test_inlp_takes_out_what_a_probe_reads_and_stops():
    labels = torch.arange(400) % 2
    x = randn(0, 400, 10)
    x[:, 2] += 3 * labels
    result = fit_inlp(x, labels)
    erased = result.eraser(x)
    assert 1 <= result.eraser.rank <= 4
    assert result.accuracies[0] > 0.85
    assert all(a > result.chance for a in result.accuracies[:-1])
    assert result.accuracies[-1] <= result.chance < 0.62
    assert len(result.accuracies) == result.eraser.rank + 1
    probe = fit_logistic(erased[:200], labels[:200])
    assert float((probe.predict(erased[200:]) == labels[200:]).double().mean()) < 0.62


def test_inlp_is_an_orthogonal_projection_about_the_mean():
    x, labels = correlated(0, 200, 12), torch.arange(200) % 4
    x[:, :4] += 20 * one_hot(labels)
    eraser = fit_inlp(x, labels, rounds=2).eraser
    assert eraser.rank == 6  # K − 1 directions a round
    assert torch.equal(eraser.right, eraser.left.T)
    torch.testing.assert_close(eraser.right @ eraser.left, torch.eye(6).double())
    torch.testing.assert_close(eraser(x).mean(0), x.mean(0))


def test_inlp_stops_at_its_rounds():
    x, labels = randn(0, 200, 8), torch.arange(200) % 2
    x += 5 * labels.unsqueeze(1)
    result = fit_inlp(x, labels, rounds=1)
    assert len(result.accuracies) == result.eraser.rank == 1


def test_inlp_takes_nothing_out_of_noise_where_every_probe_is_right_on_its_own_fit():
    """d > n: stopping by the fitted accuracy (always 1) would project everything out."""
    ranks = [fit_inlp(randn(i, 60, 100), torch.arange(60) % 2, seed=i).eraser.rank for i in range(10)]
    assert sorted(ranks)[7] == 0  # the stop rule is wrong one time in twenty
    assert max(ranks) < 5


def test_inlp_splits_by_image():
    """Twins with one label: a probe that has met the twin reads labels that mean nothing."""
    twins = randn(0, 80, 120).repeat(2, 1)
    labels = torch.randint(2, (80,), generator=torch.Generator().manual_seed(0)).repeat(2)
    assert fit_inlp(twins, labels).accuracies[0] > 0.65
    assert fit_inlp(twins, labels, groups=torch.arange(80).repeat(2)).accuracies[0] < 0.65


def test_inlp_leaves_the_degenerate_alone():
    assert fit_inlp(torch.ones(40, 3), torch.arange(40) % 2).eraser.rank == 0
    assert fit_inlp(randn(0, 40, 3), torch.zeros(40).long()).eraser.rank == 0
    everything = fit_inlp(10.0 * one_hot(torch.arange(80) % 2), torch.arange(80) % 2)
    assert everything.eraser.rank <= 2


def test_bad_input_to_inlp_is_named():
    for changes, message in (
        ({"labels": torch.zeros(39)}, r"x, labels: expected \(n, d\) and \(n,\), received \(40, 3\) and \(39,\)"),
        ({"groups": torch.zeros(39)}, r"groups: expected shape \(40,\), received \(39,\)"),
        ({"rounds": 0}, "rounds: expected at least 1, received 0"),
        ({"x": torch.full((40, 3), torch.nan)}, "features: expected finite values"),
        ({"groups": torch.zeros(40)}, "n: expected at least 4 images for 2 folds, received 1"),
    ):
        with case(message), pytest.raises(InputError, match=message):
            fit_inlp(**({"x": randn(0, 40, 3), "labels": torch.arange(40) % 2} | changes))


# --- in the middle of a network


def test_the_network_goes_on_from_erased_activations():
    """The erased layer reads as erased; what comes after is the rest of the network on the edited map."""
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=16)).eval()
    images = torch.randint(0, 256, (30, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    plain = capture(encoder, images)
    eraser = fit_leace(plain["layer2"], plain["layer2"][:, 0])
    with erasing(encoder, "layer2", eraser):
        erased = capture(encoder, images)
    torch.testing.assert_close(erased["layer2"], eraser(plain["layer2"]), atol=1e-5, rtol=0)
    assert torch.equal(erased["layer1"], plain["layer1"])
    b = encoder.backbone
    with torch.no_grad():
        x = ((images.float() / 255) - encoder.mean) / encoder.std
        x = b.layer2(b.layer1(b.relu(b.bn1(b.conv1(x)))))
        x = x - eraser.removed(x.mean((2, 3))).float()[:, :, None, None]
        expected = b.avgpool(b.layer3(x)).flatten(1)
    torch.testing.assert_close(erased["features"], expected, atol=1e-5, rtol=1e-5)
    assert (erased["features"] - plain["features"]).abs().max() > 1e-3
    assert torch.equal(capture(encoder, images)["features"], plain["features"])  # the hook is gone


def test_erasing_at_the_tap_and_after_an_error():
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=16)).eval()
    images = torch.randint(0, 256, (30, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    plain = capture(encoder, images)["features"]
    eraser = fit_leace(plain, plain[:, 0])
    with erasing(encoder, "features", eraser):
        torch.testing.assert_close(capture(encoder, images)["features"], eraser(plain), atol=1e-5, rtol=0)
    with pytest.raises(RuntimeError), erasing(encoder, "features", eraser):
        raise RuntimeError
    assert torch.equal(capture(encoder, images)["features"], plain)


def test_an_unknown_layer_is_named():
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=16))
    nothing = Eraser(torch.zeros(3, 0), torch.zeros(0, 3), torch.zeros(3))
    with (
        pytest.raises(InputError, match=r"layer: expected one of stem, layer1, .*, received layer9"),
        erasing(encoder, "layer9", nothing),
    ):
        pass
