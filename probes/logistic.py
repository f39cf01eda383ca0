"""Logistic probes for the class and for the trigger, scored on images that they were not fitted on.

The literature reports these; :mod:`.linear` has closed-form probes, which are cheaper. Split and standardisation are
the same. The likelihood serves :mod:`.mdl` as a code. :mod:`.layer_probes` fits them at every layer of an encoder.
"""

import warnings
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from ..representations.errors import InputError
from ..representations.seeds import generator
from .checks import check_controls, check_finite, check_folds, check_groups, check_labelled, check_pairs
from .linear import folds_of, pair_labels, standardiser

__all__ = ["LogisticProbe", "ProbeResult", "class_probe", "fit_logistic", "trigger_probe"]


@dataclass(frozen=True)
class LogisticProbe:
    """A fitted probe: logits(x) = x @ weight.T + bias, one column for each of ``classes``, on features as they are."""

    classes: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x.double() @ self.weight.T + self.bias

    def predict(self, x: Tensor) -> Tensor:
        return self.classes[self(x).argmax(1)]


def fit_logistic(x: Tensor, labels: Tensor, *, penalty: float = 1e-2) -> LogisticProbe:
    """Multinomial (for two classes: binary) logistic regression on standardised features, by L-BFGS.

    Minimises mean cross-entropy + ½·penalty·‖W‖² with the intercept free. W acts on features standardised with the
    fit's own mean and sd: the penalty depends neither on their scale nor on n. For two classes W is one vector, the
    difference of their logits. The solver is scikit-learn's, with C = 1/(penalty·n).

    Args:
        x: features ``(n, d)``, not normalised here (float64 inside). labels: int64 ``(n,)``. For a single class the
            probe is constant. Constant features get weight 0.

    Cost: each step O(n·min(n, d)·classes). The penalised solution is in the span of the rows. With more features than
    rows it is searched there.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> fit_logistic(x, torch.tensor([5, 5, 7, 7])).predict(torch.tensor([[0.4], [2.6]]))
    tensor([5, 7])
    """
    check_labelled(x, labels, name="x")
    if not penalty > 0:
        raise InputError(f"penalty: expected a positive number, received {penalty}")
    check_finite(x)
    x = x.double()
    classes, codes = labels.unique(return_inverse=True)
    if len(classes) == 1:
        return LogisticProbe(classes, x.new_zeros(1, x.shape[1]), x.new_zeros(1))
    mean, scale = standardiser(x)
    z, back = (x - mean) * scale, None
    if z.shape[1] > len(z):
        back, triangle = torch.linalg.qr(z.T)
        z = triangle.T
    model = LogisticRegression(C=1 / (penalty * len(z)), max_iter=1000)
    # SciPy's BLAS on two threads waits at each of thousands of small products: thirteen times as long.
    with warnings.catch_warnings(), threadpool_limits(1 if z.numel() < 1_000_000 else None, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the penalty bounds the remaining error
        model.fit(z.numpy(), codes.numpy())
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(classes) == 2:
        weight, bias = (torch.cat([torch.zeros_like(w), w]) for w in (weight, bias))
    weight = (weight if back is None else weight @ back.T) * scale
    return LogisticProbe(classes, weight, bias - weight @ mean)


@dataclass(frozen=True)
class ProbeResult:
    """Held-out results of a probe.

    scores: share of an image's rows that are classified right, float64 ``(images,)`` in [0, 1], by ascending image id;
        NaN for images left out. All images have equal weight. For intervals.
    accuracy: their mean. control: the accuracy on the control task. ``selectivity`` = accuracy − control.
    memorised: the control task's accuracy on the *fitted* images. Near 1 the probe can memorise any labels: then only
        held-out accuracy is evidence about the features.
    """

    scores: Tensor
    accuracy: float
    control: float
    memorised: float

    @property
    def selectivity(self) -> float:
        return self.accuracy - self.control


def class_probe(
    features: Tensor,
    labels: Tensor,
    *,
    groups: Tensor | None = None,
    folds: int = 5,
    controls: int = 1,
    penalty: float = 1e-2,
    seed: int = 0,
) -> ProbeResult:
    """Held-out accuracy of a logistic probe for the class, with the control task of Hewitt and Liang (EMNLP 2019).

    The control task shuffles the labels of the images. Held out, no probe is better than chance on it: selectivity is
    the accuracy above chance for these class sizes. ``memorised`` measures how many labels the probe could memorise (n
    = 400 random labels at d = 500: all).

    Args:
        features: ``(n, d)``, L2-normalised here. labels: int64 ``(n,)``. Classes with fewer than ``folds`` images are
            left out.
        groups: int64 ``(n,)``, the image that a row shows. Rows of one image (its views, its triggered version) must
            have one label, and stay in one part of a split. By default every row shows an image of its own.
        penalty: as in :func:`fit_logistic`.

    Range: 0 to 1. Cost: folds·(1 + controls) fits; random labels take L-BFGS several times as long as real ones.
    """
    check_labelled(features, labels)
    check_folds(folds)
    check_controls(controls)
    image, of_image = _one_label_each(labels, groups)
    present, counts = of_image.unique(return_counts=True)
    if (counts >= folds).sum() < 2:
        raise InputError(
            f"labels: expected two classes with at least {folds} images, received counts {counts.tolist()}"
        )
    used = torch.isin(of_image, present[counts >= folds])  # images
    of_image = of_image[used]
    rows = used[image]
    image = (used.cumsum(0) - 1)[image[rows]]
    x = normalize(features.double(), dim=1)[rows]
    tasks = [of_image]
    tasks += [
        of_image[torch.randperm(len(of_image), generator=generator(seed, "class-control", i))] for i in range(controls)
    ]
    results = [_held_out(x, task[image], image, folds, penalty, seed) for task in tasks]
    scores = torch.full((len(used),), float("nan"), dtype=torch.float64)
    scores[used] = results[0][0]
    return _result(scores, results[1:])


def trigger_probe(
    clean: Tensor, triggered: Tensor, *, folds: int = 5, controls: int = 1, penalty: float = 1e-2, seed: int = 0
) -> ProbeResult:
    """Held-out accuracy of a logistic probe that separates triggered images from the same images without trigger.

    The logistic version of :func:`.linear.trigger_separability`: an accuracy at the probe's own threshold, not an AUC.
    Both members of a pair are in the same part of a split. Control task: the two labels of each pair, exchanged at
    random.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2·folds, L2-normalised here.

    Range: 0 to 1; .5 where the trigger cannot be read. Identical features: exactly .5.

    >>> clean = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) + 9 * torch.eye(8)[1]
    >>> trigger_probe(clean, clean + 9 * torch.eye(8)[0]).accuracy
    1.0
    """
    check_pairs(clean, triggered)
    check_controls(controls)
    n = len(clean)
    x = normalize(torch.cat([clean, triggered]).double(), dim=1)
    image = torch.arange(n).repeat(2)
    tasks = pair_labels(n, controls, seed).flatten(0, 1).long().T
    results = [_held_out(x, task, image, folds, penalty, seed) for task in tasks]
    return _result(results[0][0], results[1:])


def _one_label_each(labels: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """For each row the position of its image among the ascending ids, and the label of each image."""
    groups = check_groups(groups, labels)
    ids, image = groups.unique(return_inverse=True)
    of_image = labels.new_empty(len(ids))
    of_image[image] = labels
    if not torch.equal(of_image[image], labels):
        wrong = int(groups[of_image[image] != labels][0])
        raise InputError(f"groups: expected one label in each group, received several in group {wrong}")
    return image, of_image


def _held_out(x: Tensor, labels: Tensor, image: Tensor, folds: int, penalty: float, seed: int) -> tuple[Tensor, float]:
    """Share of each image's rows that a probe fitted on other images classifies right.

    The second result is the probes' mean accuracy on their own fits.
    """
    n = int(image.max()) + 1 if len(image) else 0
    correct = torch.empty(len(x), dtype=torch.float64)
    fitted = []
    for part in folds_of(n, folds, seed):
        held_out = torch.isin(image, part)
        probe = fit_logistic(x[~held_out], labels[~held_out], penalty=penalty)
        correct[held_out] = _hits(probe, x[held_out], labels[held_out])
        fitted.append(float(_hits(probe, x[~held_out], labels[~held_out]).mean()))
    scores = torch.zeros(n, dtype=torch.float64).index_add_(0, image, correct) / torch.bincount(image, minlength=n)
    return scores, sum(fitted) / folds


def _hits(probe: LogisticProbe, x: Tensor, labels: Tensor) -> Tensor:
    """1 where the probe is right; where several logits are equally large, the share of the true one among them."""
    logits = probe(x)
    ties = logits == logits.amax(1, keepdim=True)
    right = probe.classes == labels.unsqueeze(1)
    return (ties & right).sum(1).double() / ties.sum(1)


def _result(scores: Tensor, controls: list[tuple[Tensor, float]]) -> ProbeResult:
    held_out, fitted = zip(*controls, strict=True)
    control = sum(float(s.mean()) for s in held_out) / len(controls)
    return ProbeResult(scores, float(scores.nanmean()), control, sum(fitted) / len(controls))
