"""Our probes and erasers against scikit-learn and concept-erasure, where they compute the same thing."""

from itertools import product

import pytest
import torch
from intertwine.probes.leace import LeaceFitter, fit_leace
from intertwine.probes.linear import folds_of
from intertwine.probes.logistic import class_probe, fit_logistic
from intertwine.probes.mdl import codelength
from intertwine.representations.seeds import generator
from torch.nn.functional import one_hot

from tests.factories import case, randn

sklearn = pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import PredefinedSplit, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import Normalizer, StandardScaler  # noqa: E402

pytestmark = pytest.mark.parity


def clusters(seed: int, n: int, classes: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(n) % classes
    return randn(77, classes, d)[labels] + randn(seed, n, d), labels


def concept(seed: int, n: int, d: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = randn(seed, n, d) @ randn(88, d, d) + 3
    return x, one_hot((x @ randn(5, d, classes) + randn(6, n, classes)).argmax(1), classes).double()


@pytest.mark.parametrize(("classes", "n", "d"), [(2, 80, 6), (4, 80, 6), (2, 40, 90), (3, 40, 90)])
@pytest.mark.parametrize("penalty", [1e-2, 1.0])
def test_logistic_probe(classes, n, d, penalty):
    """C = 1/(penalty·n) on features standardised with n − 1 (a StandardScaler divides by n: √ of the ratio). With
    d > n ours is solved in the span of the rows, scikit-learn's in the full space."""
    x, labels = clusters(0, n, classes, d)
    new, _ = clusters(1, 50, classes, d)
    mean, sd = x.mean(0), x.std(0)
    model = LogisticRegression(C=1 / (penalty * n), tol=1e-8, max_iter=5000)
    model.fit(((x - mean) / sd).numpy(), labels.numpy())
    expected = torch.from_numpy(model.predict_proba(((new - mean) / sd).numpy()))
    ours = fit_logistic(x, labels, penalty=penalty)(new).softmax(1)
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=0)


def test_class_probe_is_cross_validation_on_the_same_folds():
    x, labels = clusters(0, 120, 4, 6)
    fold = torch.empty(120, dtype=torch.int64)
    for i, held_out in enumerate(folds_of(120, 5, 0)):
        fold[held_out] = i
    # The folds are of 24 each, so that every fit has 96 rows. A scaler that divides by n makes z larger by √(n/(n−1)).
    model = make_pipeline(Normalizer(), StandardScaler(), LogisticRegression(C=1 / (0.01 * 96), max_iter=5000))
    expected = cross_val_predict(model, x.numpy(), labels.numpy(), cv=PredefinedSplit(fold.numpy()))
    agreement = (class_probe(x, labels).scores == torch.from_numpy(expected == labels.numpy()).double()).double()
    assert agreement.mean() > 0.99


def test_codelength_of_the_last_block_is_the_log_loss():
    """The first 70 of a hundred images fit the probe that codes the last 30. The prior N(0, 1/d) is C = 1/d."""
    x, labels = clusters(0, 100, 3, 5)
    result = codelength(x, labels, orders=1, seed=4)
    order = torch.randperm(100, generator=generator(4, "codelength", 100, 0))
    known, last = order[:70], order[70:]
    model = make_pipeline(Normalizer(), StandardScaler(), LogisticRegression(C=1 / x.shape[1], max_iter=5000))
    model.fit(x[known].numpy(), labels[known].numpy())
    expected = log_loss(labels[last].numpy(), model.predict_proba(x[last].numpy())) / torch.tensor(2.0).log()
    assert float(result.scores[last].mean()) == pytest.approx(float(expected), abs=0.01)


def test_leace():
    """Without its shrinkage, its cap on the trace and its absolute tolerance concept-erasure says the same."""
    for (n, d), classes in product(((400, 10), (60, 60), (40, 100)), (2, 4)):
        with case(n, d, classes):
            theirs = pytest.importorskip("concept_erasure")
            x, z = concept(0, n, d, classes)
            options = {"shrinkage": False, "constrain_cov_trace": False, "svd_tol": 1e-6, "dtype": torch.float64}
            fitter = theirs.LeaceFitter(d, classes, **options)
            fitter.update(x[: n // 3], z[: n // 3]).update(x[n // 3 :], z[n // 3 :])
            expected = fitter.eraser(x)
            torch.testing.assert_close(fit_leace(x, z)(x), expected, atol=1e-6, rtol=1e-6)
            ours = LeaceFitter(d, classes).update(x[: n // 4], z[: n // 4]).update(x[n // 4 :], z[n // 4 :])
            torch.testing.assert_close(ours.eraser()(x), expected, atol=1e-6, rtol=1e-6)


def test_defect_their_default_tolerance_leaves_a_rare_trigger_in():
    """0.1 % poison: their eraser with its default ``svd_tol`` of .01 is the identity, ours erases."""
    theirs = pytest.importorskip("concept_erasure")
    x, z = randn(0, 5000, 20), torch.zeros(5000, 1, dtype=torch.float64)
    z[:5] = 1
    x[:5, 0] += 3.6
    untouched = theirs.LeaceFitter.fit(x, z).eraser(x)
    torch.testing.assert_close(untouched, x)
    erased = fit_leace(x, z)(x)
    assert (x[:5].mean(0) - x[5:].mean(0)).norm() > 3
    assert (erased[:5].mean(0) - erased[5:].mean(0)).norm() < 1e-9
