"""Linear probes are scored on images they have not seen, and find what is planted."""

from itertools import product

import intertwine.probes.linear as linear
import numpy as np
import pytest
import torch
from intertwine.probes import LinearHead, ridge_head, source_accuracy, trigger_separability
from intertwine.probes.linear import folds_of, ridge_scores
from intertwine.probes.nulls import swap_within_pairs
from intertwine.representations import InputError

from tests.factories import case, randn

# --- ridge_scores


def slow_ridge(x, y, held_out, penalty):
    """Minimise Σ‖y − Wz − b‖² + penalty·n·‖W‖² with z standardised (n − 1), the intercept free, by one solve."""
    x, y, held_out = x.numpy(), y.numpy(), held_out.numpy()
    n, d = x.shape
    mean = [sum(x[:, j]) / n for j in range(d)]
    sd = [np.sqrt(sum((v - mean[j]) ** 2 for v in x[:, j]) / (n - 1)) for j in range(d)]
    used = [j for j in range(d) if sd[j] > 0]

    def design(rows):
        return np.column_stack([(rows[:, j] - mean[j]) / sd[j] for j in used] + [np.ones(len(rows))])

    a = design(x)
    ridge = np.diag([penalty * n] * len(used) + [0.0])
    return design(held_out) @ np.linalg.solve(a.T @ a + ridge, a.T @ y)


def test_ridge_follows_the_normal_equations():
    for penalty, (n, d) in product((1e-2, 1.0), ((40, 5), (12, 12), (12, 30))):
        with case(penalty, n, d):
            x, y, held_out = randn(0, n, d) * 3 + 1, randn(1, n, 2), randn(2, 7, d) * 3 + 1
            expected = slow_ridge(x, y, held_out, penalty)
            np.testing.assert_allclose(ridge_scores(x, y, held_out, penalty=penalty).numpy(), expected, atol=1e-9)


def test_primal_and_dual_agree():
    """Constant columns carry nothing, but with 40 of them the dual system is the smaller one."""
    x, y, held_out = randn(0, 30, 8), randn(1, 30, 3), randn(2, 9, 8)
    primal = ridge_scores(x, y, held_out)
    padding = 0.1 * torch.arange(40).double()
    dual = ridge_scores(
        torch.cat([x, padding.expand(30, 40)], 1), y, torch.cat([held_out, 5 + padding.expand(9, 40)], 1)
    )
    torch.testing.assert_close(dual, primal, atol=1e-10, rtol=0)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_ridge_does_not_depend_on_scale_or_shift(scale):
    x, y, held_out = randn(0, 30, 8), randn(1, 30, 3), randn(2, 9, 8)
    expected = ridge_scores(x, y, held_out)
    torch.testing.assert_close(ridge_scores(x * scale, y, held_out * scale), expected)
    torch.testing.assert_close(ridge_scores(x + 100, y, held_out + 100), expected, atol=1e-9, rtol=0)


# --- trigger_separability


def by_loop(clean, triggered, folds, seed):
    """Per fold: slow ridge on the other pairs, then every held-out pair of one clean and one triggered image."""
    clean = clean / clean.square().sum(1, keepdim=True).sqrt()
    triggered = triggered / triggered.square().sum(1, keepdim=True).sqrt()
    n = len(clean)
    scores = [0.0] * n
    for held_out in folds_of(n, folds, seed):
        ids = held_out.tolist()
        fit = [i for i in range(n) if i not in ids]
        x = torch.cat([clean[fit], triggered[fit]])
        y = torch.tensor([[0.0]] * len(fit) + [[1.0]] * len(fit)).double()
        low = slow_ridge(x, y, clean[ids], 0.1)[:, 0]
        high = slow_ridge(x, y, triggered[ids], 0.1)[:, 0]
        for position, i in enumerate(ids):
            outscored = sum(1.0 if high[position] > other else 0.0 for other in low) / len(ids)
            outscoring = sum(1.0 if other > low[position] else 0.0 for other in high) / len(ids)
            scores[i] = (outscored + outscoring) / 2
    return scores


@pytest.mark.parametrize(("n", "folds", "seed"), [(23, 5, 0), (30, 3, 4), (10, 5, 1)])
def test_separability_follows_the_loop(n, folds, seed):
    clean = randn(0, n, 6) + 1
    triggered = clean + 0.4 * randn(1, n, 6) + 0.3 * randn(2, 1, 6)
    expected = by_loop(clean, triggered, folds, seed)
    result = trigger_separability(clean, triggered, folds=folds, repeats=1, seed=seed)
    assert result.scores.tolist() == pytest.approx(expected)
    assert result.auc == pytest.approx(sum(expected) / n)
    assert 0.5 < result.auc < 1
    assert result.selectivity == pytest.approx(result.auc - result.control)


def test_the_control_task_is_the_same_probe_on_exchanged_pairs():
    """One solve serves the true labels and all controls; each control alone gives the same."""
    clean = randn(0, 33, 6) + 1
    triggered = clean + 0.4 * randn(1, 33, 6) + 0.3 * randn(2, 1, 6)
    expected = []
    for i in range(4):
        first, second = swap_within_pairs(clean, triggered, seed=7 + i)
        expected += [sum(by_loop(first, second, 5, 7)) / 33]
    result = trigger_separability(clean, triggered, folds=5, repeats=1, controls=4, seed=7)
    assert result.control == pytest.approx(sum(expected) / 4)
    assert result.control < result.auc


def test_constant_features_give_one_half():
    x = torch.full((40, 6), 0.3)
    assert trigger_separability(x, x.clone()).auc == 0.5
    assert trigger_separability(x, 5 * x).auc == 0.5  # the length of a feature vector is not looked at


def test_rounding_of_a_large_constant_is_no_feature():
    """The noise of a feature's last digit grows with the feature: the threshold for "constant" is relative."""
    for size in (1e-9, 1.0, 1e9):
        x = torch.full((30, 1), size, dtype=torch.float64) * (1 + 2e-16 * torch.arange(30).remainder(3)).unsqueeze(1)
        assert linear.standardiser(x)[1].tolist() == [0]
        assert linear.standardiser(size * randn(0, 30, 1))[1].item() * size == pytest.approx(1, rel=0.5)


def test_identical_features_give_one_half():
    x = randn(0, 40, 10)
    result = trigger_separability(x, x.clone())
    assert result.auc == pytest.approx(0.5)
    assert result.control == pytest.approx(0.5)


@pytest.mark.parametrize("d", [3, 100])
def test_a_shared_shift_gives_one(d):
    clean = randn(0, 40, d) + 20 * randn(1, 1, d)
    triggered = clean + 20 * randn(2, 1, d)
    result = trigger_separability(clean, triggered)
    assert result.auc == 1
    assert result.scores.tolist() == [1] * 40
    assert result.control == pytest.approx(0.5, abs=0.25)


def test_each_image_may_move_its_own_way():
    """Triggered features that are independent of the clean ones: nothing is shared, so nothing is learned."""
    values = [trigger_separability(randn(i, 60, 8), randn(100 + i, 60, 8)).auc for i in range(10)]
    assert sum(values) / 10 == pytest.approx(0.5, abs=0.06)


def test_defect_probe_fitted_and_scored_on_the_same_samples():
    """Pure noise with more features than images: read off its own fit a probe is always right, held out never better
    than chance."""
    held_out, on_itself = [], []
    for i in range(10):
        clean, triggered = randn(i, 40, 200), randn(100 + i, 40, 200)
        held_out.append(trigger_separability(clean, triggered).auc)
        x, y = torch.cat([clean, triggered]), torch.tensor([[0.0]] * 40 + [[1.0]] * 40).double()
        fitted = ridge_scores(x, y, x)[:, 0]
        on_itself.append(float((fitted[40:, None] > fitted[:40]).double().mean()))
    assert min(on_itself) == 1
    assert sum(held_out) / 10 == pytest.approx(0.5, abs=0.05)


def test_no_pair_straddles_a_split(monkeypatch):
    """Both versions of an image point the same way, which tells the images apart at the probe's door."""
    angle = torch.linspace(0.1, 1.4, 33, dtype=torch.float64)
    clean = torch.stack([angle.cos(), angle.sin()], 1)
    calls = []
    original = ridge_scores

    def spy(x, y, held_out, **options):
        calls.append(({round(float(a), 6) for a in x[:, 0]}, {round(float(a), 6) for a in held_out[:, 0]}, len(x)))
        return original(x, y, held_out, **options)

    monkeypatch.setattr(linear, "ridge_scores", spy)
    trigger_separability(clean, 2 * clean)
    assert calls
    for fitted, scored, rows in calls:
        assert not fitted & scored
        assert len(fitted) + len(scored) == 33
        assert rows == 2 * len(fitted)


def test_a_straddled_pair_would_show():
    """Twins with d > n: a probe that knew the one twin would call the other its opposite (AUC near 0)."""
    values = []
    for i in range(10):
        clean = randn(i, 40, 120)
        values.append(trigger_separability(clean, clean + 1e-3 * randn(50 + i, 40, 120)).auc)
    assert sum(values) / 10 == pytest.approx(0.5, abs=0.06)


def test_folds_are_scored_apart():
    """An offset of a fold's probe must not count: with d = 1 and one far pair the scores of each fold stay paired."""
    clean = torch.cat([torch.ones(30, 1), randn(0, 30, 1) * 0.3], 1).double()
    triggered = clean + torch.tensor([0.0, 2.0])
    assert trigger_separability(clean, triggered).auc > 0.98


def test_the_mean_of_scores_is_the_auc_and_they_are_shares():
    result = trigger_separability(randn(0, 50, 4), randn(0, 50, 4) + 0.3)
    assert result.scores.shape == (50,)
    assert bool((result.scores >= 0).all() & (result.scores <= 1).all())
    assert float(result.scores.mean()) == result.auc


def test_separability_is_seeded():
    clean, triggered = randn(0, 30, 4), randn(1, 30, 4)
    assert trigger_separability(clean, triggered, seed=1).auc == trigger_separability(clean, triggered, seed=1).auc
    assert trigger_separability(clean, triggered, seed=1).auc != trigger_separability(clean, triggered, seed=2).auc


def test_too_few_images():
    for n, folds in ((9, 5), (5, 3), (0, 5)):
        with (
            case(n, folds),
            pytest.raises(InputError, match=f"at least {2 * folds} images for {folds} folds, received {n}"),
        ):
            trigger_separability(randn(0, n, 3), randn(1, n, 3), folds=folds)


def test_fewer_than_two_folds_leave_nothing_to_fit():
    for folds, probe in product(
        (1, 0, -1),
        (
            lambda folds: trigger_separability(randn(0, 20, 3), randn(0, 20, 3) + 9, folds=folds),
            lambda folds: source_accuracy(randn(0, 20, 3), torch.arange(20) % 2, folds=folds),
        ),
    ):
        with case(folds, probe), pytest.raises(InputError, match="folds"):
            probe(folds)


def test_separability_without_control_is_refused_in_words():
    with pytest.raises(InputError, match="controls"):
        trigger_separability(randn(0, 20, 3), randn(1, 20, 3), controls=0)


def test_separability_names_unequal_shapes():
    for a, b in (((20, 3), (20, 4)), ((20, 3), (21, 3)), ((20,), (20,))):
        with case(a, b), pytest.raises(InputError, match=r"clean, triggered: expected equal \(n, d\), received \("):
            trigger_separability(torch.zeros(a), torch.zeros(b))


# --- source_accuracy


def test_planted_classes_are_found():
    labels = torch.tensor([2, 5, 7])[torch.arange(60) % 3]
    features = 5 * torch.eye(4).double()[torch.arange(60) % 3] + 0.1 * randn(0, 60, 4)
    scores = source_accuracy(features, labels)
    assert scores.tolist() == [1] * 60
    assert scores.dtype == torch.float64


def test_wiped_out_classes_give_the_share_of_the_commonest():
    """Seven of ten are of one class and the features say nothing."""
    labels = (torch.arange(300) % 10 >= 7).long()
    accuracies = [float(source_accuracy(randn(i, 300, 3), labels).mean()) for i in range(5)]
    assert sum(accuracies) / 5 == pytest.approx(0.7, abs=0.03)


def test_defect_random_labels_reach_one_on_the_training_images():
    """n = 400 random labels: 1.00 on the images the probe was fitted to, chance held out."""
    features, labels = randn(0, 400, 500), torch.randint(4, (400,), generator=torch.Generator().manual_seed(1))
    targets = torch.nn.functional.one_hot(labels).double()
    assert float((ridge_scores(features, targets, features).argmax(1) == labels).double().mean()) == 1
    assert float(source_accuracy(features, labels).mean()) == pytest.approx(0.25, abs=0.07)


def test_source_accuracy_follows_the_loop():
    labels = torch.randint(3, (41,), generator=torch.Generator().manual_seed(0))
    features = randn(0, 3, 6)[labels] + 1.2 * randn(1, 41, 6)
    unit = features / features.square().sum(1, keepdim=True).sqrt()
    expected = [float("nan")] * 41
    for held_out in folds_of(41, 5, 2):
        fit = [i for i in range(41) if i not in held_out.tolist()]
        y = torch.tensor([[float(labels[i] == c) for c in range(3)] for i in fit]).double()
        for i, row in zip(held_out.tolist(), slow_ridge(unit[fit], y, unit[held_out], 1e-2), strict=True):
            expected[i] = float(int(row.argmax()) == int(labels[i]))
    assert source_accuracy(features, labels, seed=2).tolist() == expected
    assert 0.4 < sum(expected) / 41 < 1


def test_rare_classes_are_left_out_as_nan():
    labels = torch.tensor([4] * 20 + [6] * 20 + [9] * 4 + [1])
    order = torch.randperm(45, generator=torch.Generator().manual_seed(0))
    labels = labels[order]
    features = torch.where(labels == 4, 3.0, -3.0).unsqueeze(1) * torch.ones(1, 3) + 0.1 * randn(0, 45, 3)
    scores = source_accuracy(features, labels)
    assert torch.equal(scores.isnan(), (labels == 9) | (labels == 1))
    assert float(scores.nanmean()) == 1
    kept = ~scores.isnan()
    assert torch.equal(source_accuracy(features[kept], labels[kept]), scores[kept])


def test_a_class_of_exactly_as_many_as_folds_is_kept():
    labels = torch.tensor([0] * 20 + [1] * 5)
    assert not source_accuracy(randn(0, 25, 3), labels).isnan().any()


def test_source_accuracy_needs_two_classes():
    for labels in ([0] * 30, [0] * 26 + [1] * 4):
        with case(labels), pytest.raises(InputError, match="two classes with at least 5 images, received counts"):
            source_accuracy(randn(0, 30, 3), torch.tensor(labels))


def test_features_that_are_not_finite_are_refused():
    for bad in (float("nan"), float("inf")):
        with case(bad):
            x = randn(0, 30, 3)
            broken = x.clone()
            broken[3, 1] = bad
            with pytest.raises(InputError, match="features: expected finite values"):
                trigger_separability(x, broken)
            with pytest.raises(InputError, match="features: expected finite values"):
                source_accuracy(broken, torch.arange(30) % 2)


def test_source_accuracy_names_bad_labels():
    with pytest.raises(InputError, match=r"labels: expected shape \(30,\), received \(29,\)"):
        source_accuracy(randn(0, 30, 3), torch.zeros(29))


# --- ridge_head


def test_the_folded_head_says_what_ridge_on_standardised_unit_features_says():
    """One affine map of the unit vector, normalisation and standardisation folded into it (d = 90: more than n)."""
    for classes, penalty, d in product((2, 3, 5), (1e-2, 1.0), (7, 90)):
        with case(classes, penalty, d):
            labels, new_labels = torch.arange(60) % classes, torch.arange(40) % classes
            means, scales = randn(0, classes, d), torch.logspace(-2, 1, d)
            features = (means[labels] + randn(1, 60, d)) * scales + 0.1
            new = (means[new_labels] + randn(2, 40, d)) * scales + 0.1
            unit, new_unit = (x / x.square().sum(1, keepdim=True).sqrt() for x in (features, new))
            targets = torch.tensor([[float(label == c) for c in range(classes)] for label in labels.tolist()]).double()
            logits = ridge_head(features, labels, classes, penalty=penalty)(new)
            np.testing.assert_allclose(logits.numpy(), slow_ridge(unit, targets, new_unit, penalty), atol=1e-8)
            torch.testing.assert_close(logits.sum(1), torch.ones(40).double())  # one-hot labels add up to 1


def test_the_head_does_not_saturate_where_its_task_is_solved():
    """Scores about [0, 1] as logits: no probability passes e/(e + C − 1), so that every image keeps a gradient."""
    labels = torch.arange(80) % 4
    features = 10 * torch.eye(6).double()[labels] + 0.01 * randn(0, 80, 6)
    logits = ridge_head(features, labels, 4)(features)
    assert torch.equal(logits.argmax(1), labels)
    assert float(logits.min()) > -0.2
    assert float(logits.max()) < 1.2
    assert float(logits.softmax(1).max()) < 0.55


def test_the_head_takes_features_of_any_length_and_type():
    labels = torch.arange(60) % 3
    features = randn(0, 3, 5)[labels] + randn(1, 60, 5)
    head = ridge_head(features, labels, 3)
    torch.testing.assert_close(head(features * 7), head(features))
    assert head(features.float()).dtype == torch.float32
    torch.testing.assert_close(head(features.float()), head(features).float(), atol=1e-4, rtol=1e-4)


def test_the_head_is_frozen_and_lets_gradients_through():
    labels = torch.arange(60) % 3
    features = (randn(0, 3, 5)[labels] + randn(1, 60, 5)).requires_grad_(True)
    head = ridge_head(features.detach(), labels, 3)
    head(features).sum().backward()
    assert not head.weight.requires_grad
    assert features.grad is not None


def test_constant_features_carry_no_weight():
    labels = torch.arange(60) % 2
    features = torch.cat([randn(0, 60, 3), torch.zeros(60, 2).double()], 1)
    head = ridge_head(features, labels, 2)
    assert torch.isfinite(head.weight).all()
    assert head.weight.shape == (2, 5)
    assert head.weight[:, 3:].abs().max() == 0


def test_linear_head_is_an_affine_map_of_the_unit_vector():
    head = LinearHead(torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([0.5, 0.0]))
    assert head(torch.tensor([[3.0, 4.0]])).tolist()[0] == pytest.approx([0.6 + 1.6 + 0.5, -0.8])


def test_the_head_needs_every_class():
    for labels, classes in (([0, 1, 1, 0], 3), ([0, 2, 2, 0], 2), ([1, 2, 1, 2], 2)):
        with (
            case(labels, classes),
            pytest.raises(InputError, match=f"labels: expected all {classes} classes, received"),
        ):
            ridge_head(randn(0, 4, 3), torch.tensor(labels), classes)


def test_folds_are_disjoint_complete_and_of_nearly_equal_size():
    parts = folds_of(23, 5, 0)
    assert sorted(torch.cat(parts).tolist()) == list(range(23))
    assert sorted(len(p) for p in parts) == [4, 4, 5, 5, 5]
    assert torch.cat(parts).tolist() != list(range(23))
    assert torch.equal(torch.cat(parts), torch.cat(folds_of(23, 5, 0)))
    assert not torch.equal(torch.cat(parts), torch.cat(folds_of(23, 5, 1)))
