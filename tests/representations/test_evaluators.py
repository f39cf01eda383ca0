"""The evaluators against loops, and what ACC and ASR count."""

from itertools import product
from math import exp, sqrt

import numpy as np
import pytest
import torch
from intertwine.representations import (
    InputError,
    accuracy,
    attack_success,
    knn_predict,
    ridge_predict,
    success_rates,
)
from intertwine.representations.evaluators import EVALUATORS, default_k

from tests.factories import case, randn


def clusters(seed: int, n: int, classes: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    return randn(77, classes, 5)[labels] + spread * randn(seed, n, 5), labels


def slow_knn(queries, bank, labels, k, temperature) -> list[int]:
    predicted = []
    for q in queries.tolist():
        similarities = []
        for row, label in zip(bank.tolist(), labels.tolist(), strict=True):
            norms = sqrt(sum(a * a for a in q)) * sqrt(sum(b * b for b in row))
            similarities.append((sum(a * b for a, b in zip(q, row, strict=True)) / norms, label))
        votes: dict[int, float] = {}
        for cosine, label in sorted(similarities, reverse=True)[:k]:
            votes[label] = votes.get(label, 0.0) + exp(cosine / temperature)
        predicted.append(max(votes, key=votes.__getitem__))
    return predicted


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (7, 0.1), (7, 10.0), (90, 0.1), (90, 10.0)])
def test_knn_follows_the_loop(k, temperature):
    bank, labels = clusters(0, 90, 4)
    queries, _ = clusters(1, 60, 4)
    expected = slow_knn(queries, bank, labels, k, temperature)
    assert knn_predict(queries, bank, labels, k=k, temperature=temperature).tolist() == expected


def test_temperature_and_k_matter_in_the_loop_case():
    bank, labels = clusters(0, 90, 4)
    queries, _ = clusters(1, 60, 4)
    answers = {tuple(slow_knn(queries, bank, labels, k, t)) for k, t in ((1, 0.1), (90, 0.1), (90, 10.0))}
    assert len(answers) == 3


def test_default_k():
    for size, k in ((1, 1), (49, 1), (99, 1), (100, 2), (1200, 24), (9_999, 199), (10_000, 200), (60_000, 200)):
        with case(size, k):
            assert default_k(size) == k


def test_k_is_the_default_k():
    bank, labels = clusters(0, 300, 3, spread=3)
    queries, _ = clusters(1, 200, 3, spread=3)
    assert knn_predict(queries, bank, labels).tolist() == slow_knn(queries, bank, labels, 6, 0.1)
    assert knn_predict(queries, bank, labels).tolist() != slow_knn(queries, bank, labels, 1, 0.1)


@pytest.mark.parametrize("position", [0, 3])
def test_defect_column_0_dropped_as_self_is_wrong_with_duplicates(position):
    """The bank holds no query, so that its nearest row counts, even where it is a copy."""
    bank = torch.tensor([[1.0, 0.5], [1.0, 0.6], [1.0, 0.7], [0.0, -1.0]])
    labels = torch.zeros(4, dtype=torch.int64)
    labels[position] = 1
    assert knn_predict(bank[position : position + 1], bank, labels, k=1).tolist() == [1]


def test_defect_last_short_batch_dropped():
    """Queries go through in pieces of 2,048: the last, of three, is predicted too and like the others."""
    bank, labels = clusters(0, 40, 3)
    queries, _ = clusters(1, 2051, 3)
    predicted = knn_predict(queries, bank, labels, k=3)
    assert predicted.shape == (2051,)
    assert predicted[-40:].tolist() == slow_knn(queries[-40:], bank, labels, 3, 0.1)


def test_a_class_that_the_bank_lacks_is_not_predicted():
    bank, labels = clusters(0, 60, 2)
    predicted = knn_predict(bank, bank, labels * 3 + 2, k=5)
    assert set(predicted.tolist()) == {2, 5}
    assert set(ridge_predict(bank, bank, labels * 3 + 2).tolist()) <= {2, 5}


def test_the_commoner_class_does_not_outvote_the_nearer_at_a_low_temperature():
    bank = torch.tensor([[1.0, 0.0], *[[0.8, 0.6]] * 4])
    labels = torch.tensor([1, 0, 0, 0, 0])
    query = torch.tensor([[1.0, 0.0]])
    # e^(1/T) against 4 e^(.8/T): equal at T = .2/ln 4 = .144
    assert knn_predict(query, bank, labels, k=5, temperature=0.13).tolist() == [1]
    assert knn_predict(query, bank, labels, k=5, temperature=0.16).tolist() == [0]


@pytest.mark.parametrize("temperature", [1e-2, 2e-3, 1e-3, 1e-4])
def test_a_low_temperature_is_nearest_neighbour_and_not_an_overflow(temperature):
    """exp(1/.001) is infinite in float64 and 0 · ∞ is NaN: the largest similarity must be taken out first."""
    bank, labels = clusters(0, 90, 4)
    queries, _ = clusters(1, 60, 4)
    similarity = torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(bank, dim=1).T
    top = similarity.topk(2, dim=1).values
    clear = 19 * ((top[:, 1] - top[:, 0]) / temperature).exp() < 1  # the nearest outvotes the other 19 together
    assert clear.sum() >= 10
    expected = torch.tensor(slow_knn(queries, bank, labels, 1, 0.1))
    predicted = knn_predict(queries, bank, labels, k=20, temperature=temperature)
    assert torch.equal(predicted[clear], expected[clear])


# --- ridge


def normal_equations(queries, bank, labels, penalty) -> list[int]:
    """Minimise Σ‖y − Wx − b‖² + λ‖W‖² over (W, b) at once, the intercept unpenalised; λ = penalty · n · mean variance,
    the variances being the mean eigenvalue of the covariance."""
    unit = bank.numpy() / np.sqrt((bank.numpy() ** 2).sum(1))[:, None]
    n, d = unit.shape
    eigenvalues = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    design = np.column_stack([unit, np.ones(n)])
    ridge = np.diag([penalty * n * eigenvalues.mean()] * d + [0.0])
    targets = np.array([[float(label == c) for c in range(int(labels.max()) + 1)] for label in labels.tolist()])
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ targets)
    q = queries.numpy() / np.sqrt((queries.numpy() ** 2).sum(1))[:, None]
    return np.column_stack([q, np.ones(len(q))]).dot(solution).argmax(1).tolist()


def test_ridge_follows_the_normal_equations():
    for penalty, scale in product((1e-3, 1.0, 100.0), (1e-6, 1.0, 1e6)):
        with case(penalty, scale):
            bank, labels = clusters(0, 90, 4)
            bank[:, 0] *= 5
            queries, _ = clusters(1, 80, 4)
            expected = normal_equations(queries, bank, labels, penalty)
            assert ridge_predict(queries * scale, bank * scale, labels, penalty=penalty).tolist() == expected


def test_the_penalty_matters_in_the_ridge_case():
    bank, labels = clusters(0, 90, 4)
    queries, _ = clusters(1, 80, 4)
    assert len({tuple(normal_equations(queries, bank, labels, p)) for p in (1e-3, 1.0, 100.0)}) == 3


def test_ridge_handles_more_features_than_images():
    bank, labels = randn(0, 20, 60), torch.arange(20) % 2
    assert ridge_predict(bank, bank, labels).tolist() == labels.tolist()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_constant_features_predict_the_commonest_class(value):
    bank = torch.full((30, 6), value)
    labels = torch.tensor([2] * 12 + [0] * 10 + [1] * 8)
    assert ridge_predict(bank[:5], bank, labels).tolist() == [2] * 5
    assert ridge_predict(randn(0, 5, 6), bank, labels).tolist() == [2] * 5


@pytest.mark.parametrize("name", EVALUATORS)
def test_evaluators_read_well_separated_classes(name):
    bank, labels = clusters(0, 200, 4, spread=0.1)
    queries, truth = clusters(1, 100, 4, spread=0.1)
    assert EVALUATORS[name](queries, bank, labels).tolist() == truth.tolist()
    assert EVALUATORS[name](queries.float(), bank.float(), labels).tolist() == truth.tolist()


def test_bad_shapes():
    for evaluate, (features, bank, labels, message) in product(
        EVALUATORS.values(),
        (
            ((5, 2), (6, 3), (6,), r"expected \(n, d\) and \(m, d\), received \(5, 2\) and \(6, 3\)"),
            ((5,), (6, 3), (6,), r"received \(5,\) and \(6, 3\)"),
            ((5, 2), (6, 2), (5,), r"bank_labels: expected shape \(6,\), received \(5,\)"),
        ),
    ):
        with case(message), pytest.raises(InputError, match=message):
            evaluate(torch.zeros(features), torch.zeros(bank), torch.zeros(labels, dtype=torch.int64))


def test_bad_k():
    for k in (0, -1, 7):
        with case(k), pytest.raises(InputError, match=rf"k: expected 1 to 6 .*received {k}"):
            knn_predict(torch.zeros(5, 2), torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64), k=k)


# --- rates

PREDICTED = torch.tensor([0, 0, 0, 1, 0, 2, 2, 0])
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])


def test_accuracy_is_one_score_an_image():
    scores = accuracy(PREDICTED, LABELS)
    assert scores.tolist() == [1, 1, 1, 0, 0, 0, 1, 0]
    assert scores.dtype == torch.float64


def test_defect_asr_counts_the_target_class():
    """Of the four images of other classes two go to class 0; with the target's own images it would be 5/8."""
    scores = attack_success(PREDICTED, LABELS, 0)
    assert scores.tolist() == [1, 0, 0, 1]
    assert scores.dtype == torch.float64


def test_asr_including_target_is_an_option():
    assert attack_success(PREDICTED, LABELS, 0, including_target=True).tolist() == [1, 1, 1, 0, 1, 0, 0, 1]


def test_defect_asr_counts_the_wrong_class():
    """A hit is the target, not any wrong prediction and not the true class."""
    assert attack_success(PREDICTED, LABELS, 2).tolist() == [0, 0, 0, 0, 0, 1]
    assert attack_success(PREDICTED, LABELS, 1).tolist() == [0, 0, 0, 1, 0, 0]


def test_asr_needs_other_classes():
    with pytest.raises(InputError, match="a class other than the target 3, received none"):
        attack_success(torch.tensor([3, 3]), torch.tensor([3, 3]), 3)
    assert attack_success(torch.tensor([3, 1]), torch.tensor([3, 3]), 3, including_target=True).tolist() == [1, 0]


def test_success_rates_are_the_three_scores_and_the_inflated_one():
    found = success_rates(LABELS, PREDICTED, LABELS, 0)
    assert found.acc.tolist() == [1] * 8
    assert torch.equal(found.asr, attack_success(PREDICTED, LABELS, 0))
    assert found.r_acc.tolist() == [0, 0, 1, 0]  # of the images of classes 1 and 2
    assert torch.equal(found.asr_including_target, attack_success(PREDICTED, LABELS, 0, including_target=True))
    assert found.means() == {"acc": 1, "asr": 0.5, "r_acc": 0.25}


def test_success_rates_of_triggered_images_that_are_others_than_the_clean_ones():
    others = LABELS != 0
    whole = success_rates(LABELS, PREDICTED, LABELS, 0)
    part = success_rates(LABELS, PREDICTED[others], LABELS, 0, triggered_labels=LABELS[others])
    assert part.means() == whole.means()


@pytest.mark.parametrize("clean", [True, False])
def test_predictions_of_other_images_than_the_labels_are_refused(clean):
    short = (PREDICTED[:5], PREDICTED) if clean else (PREDICTED, PREDICTED[:5])
    with pytest.raises(InputError, match=r"predicted, labels: expected one class .*, received \(5,\) and \(8,\)"):
        success_rates(*short, LABELS, 0)


def test_ridge_is_the_same_from_either_matrix():
    """More features than images: against the primal formula, written out."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3
    bank = torch.randn(30, 50, generator=g).double() + 2 * torch.nn.functional.one_hot(labels, 50).double()
    features = torch.randn(40, 50, generator=g).double()
    x = torch.nn.functional.normalize(bank, dim=1)
    centre = x.mean(0)
    x, y = x - centre, torch.nn.functional.one_hot(labels).double()
    penalty = 1e-3 * (x.T @ x).diagonal().mean()
    weights = torch.linalg.inv(x.T @ x + penalty * torch.eye(50).double()) @ x.T @ (y - y.mean(0))
    scores = (torch.nn.functional.normalize(features, dim=1) - centre) @ weights + y.mean(0)
    assert torch.equal(ridge_predict(features, bank, labels), scores.argmax(1))
