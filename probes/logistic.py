"""Logistic probes of a frozen encoder, layer by layer: its classes and its trigger, on images the probe has not seen.

:mod:`.linear` has the closed-form probes that a panel can afford everywhere. These are the logistic ones that the
literature reports: the same split, the same standardisation, a proper likelihood (:mod:`.mdl` codes with it).
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..representations.capture import capture
from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .linear import folds_of, need_finite, pair_labels, standardiser

__all__ = [
    "LogisticProbe",
    "ProbeResult",
    "class_probe",
    "class_probes",
    "fit_logistic",
    "frozen",
    "trigger_probe",
    "trigger_probes",
]

Transform = Callable[[Tensor], Tensor]


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

    Minimises mean cross-entropy + ½·penalty·‖W‖² with the intercept free; W acts on features standardised with the
    fit's own mean and sd, so the penalty depends neither on their scale nor on n. For two classes W is one vector, the
    difference of their logits (as in scikit-learn, whose solver this is, with C = 1/(penalty·n)).

    Args:
        x: features ``(n, d)``, used as they are (float64 inside). labels: int64 ``(n,)``. Of a single class the probe
            is constant. Constant features get no weight.

    Cost: each step O(n·min(n, d)·classes). More features than rows cost no more than as many as rows: the penalised
    solution lies in the span of the rows, where it is found.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> fit_logistic(x, torch.tensor([5, 5, 7, 7])).predict(torch.tensor([[0.4], [2.6]]))
    tensor([5, 7])
    """
    if x.ndim != 2 or labels.shape != (len(x),) or len(x) == 0:
        raise InputError(f"x, labels: expected (n, d) and (n,), received {tuple(x.shape)} and {tuple(labels.shape)}")
    if not penalty > 0:
        raise InputError(f"penalty: expected a positive number, received {penalty}")
    need_finite(x)
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
    # SciPy's BLAS waits for its second thread at every one of thousands of small products: thirteen times as long.
    with warnings.catch_warnings(), threadpool_limits(1 if z.numel() < 1_000_000 else None, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the penalty bounds the weights: what is left is small
        model.fit(z.numpy(), codes.numpy())
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(classes) == 2:
        weight, bias = (torch.cat([torch.zeros_like(w), w]) for w in (weight, bias))
    weight = (weight if back is None else weight @ back.T) * scale
    return LogisticProbe(classes, weight, bias - weight @ mean)


@dataclass(frozen=True)
class ProbeResult:
    """What a probe reads, held out.

    scores: share of an image's rows that are classified right, float64 ``(images,)`` in [0, 1], by ascending image id;
        NaN for images left out. Every image weighs the same; for intervals.
    accuracy: their mean. control: the same on the control task, ``selectivity`` = accuracy − control.
    memorised: the control task's accuracy on the *fitted* images. Near 1 the probe can learn anything by heart: then
        only what it does held out says something about the features.
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

    The control task deals the images' labels out again at random. Held out nobody can do better than chance on it, so
    that selectivity is the accuracy above chance for these class sizes; ``memorised`` says what the probe could learn
    by heart (n = 400 random labels at d = 500: all of them).

    Args:
        features: ``(n, d)``, L2-normalised here. labels: int64 ``(n,)``. Classes with fewer than ``folds`` images are
            left out.
        groups: int64 ``(n,)``, which image a row shows: rows of one image (its views, its triggered version) must have
            one label and never straddle a split. By default every row is an image of its own.
        penalty: as in :func:`fit_logistic`.

    Range: 0 to 1. Cost: folds·(1 + controls) fits; random labels take L-BFGS several times as long as real ones.
    """
    if features.ndim != 2 or labels.shape != (len(features),):
        raise InputError(
            f"features, labels: expected (n, d) and (n,), received {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if folds < 2:
        raise InputError(f"folds: expected at least 2, received {folds}")
    if controls < 1:
        raise InputError(f"controls: expected at least 1 draw of the control task, received {controls}")
    image, of_image = _one_label_each(labels, groups)
    present, counts = of_image.unique(return_counts=True)
    if (counts >= folds).sum() < 2:
        raise InputError(
            f"labels: expected two classes with at least {folds} images, received counts {counts.tolist()}"
        )
    kept = torch.isin(of_image, present[counts >= folds])  # images
    of_image = of_image[kept]
    rows = kept[image]
    image = (kept.cumsum(0) - 1)[image[rows]]
    x = normalize(features.double(), dim=1)[rows]
    tasks = [of_image]
    tasks += [
        of_image[torch.randperm(len(of_image), generator=generator(seed, "class-control", i))] for i in range(controls)
    ]
    results = [_held_out(x, task[image], image, folds, penalty, seed) for task in tasks]
    scores = torch.full((len(kept),), float("nan"), dtype=torch.float64)
    scores[kept] = results[0][0]
    return _result(scores, results[1:])


def trigger_probe(
    clean: Tensor, triggered: Tensor, *, folds: int = 5, controls: int = 1, penalty: float = 1e-2, seed: int = 0
) -> ProbeResult:
    """Held-out accuracy of a logistic probe that tells triggered images from the same images without trigger.

    The logistic sibling of :func:`.linear.trigger_separability`, an accuracy at the probe's own threshold instead of an
    AUC. No pair straddles a split. Control task: the two labels of each pair, exchanged at random.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 2·folds, L2-normalised here.

    Range: 0 to 1; .5 the trigger cannot be read. Identical features: exactly .5.

    >>> clean = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) + 9 * torch.eye(8)[1]
    >>> trigger_probe(clean, clean + 9 * torch.eye(8)[0]).accuracy
    1.0
    """
    if clean.shape != triggered.shape or clean.ndim != 2:
        raise InputError(
            f"clean, triggered: expected equal (n, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )
    if controls < 1:
        raise InputError(f"controls: expected at least 1 draw of the control task, received {controls}")
    n = len(clean)
    x = normalize(torch.cat([clean, triggered]).double(), dim=1)
    image = torch.arange(n).repeat(2)
    tasks = pair_labels(n, controls, seed).flatten(0, 1).long().T
    results = [_held_out(x, task, image, folds, penalty, seed) for task in tasks]
    return _result(results[0][0], results[1:])


def _one_label_each(labels: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """For each row the position of its image among the ascending ids, and the label of each image."""
    if groups is None:
        return torch.arange(len(labels)), labels
    if groups.shape != labels.shape:
        raise InputError(f"groups: expected shape {tuple(labels.shape)}, received {tuple(groups.shape)}")
    ids, image = groups.unique(return_inverse=True)
    of_image = labels.new_empty(len(ids))
    of_image[image] = labels
    if not torch.equal(of_image[image], labels):
        wrong = int(groups[of_image[image] != labels][0])
        raise InputError(f"groups: expected one label in each group, received several in group {wrong}")
    return image, of_image


def _held_out(x: Tensor, labels: Tensor, image: Tensor, folds: int, penalty: float, seed: int) -> tuple[Tensor, float]:
    """Share of each image's rows that a probe fitted on other images gets right, and the probes' mean accuracy on
    their own fits."""
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


# --- over the layers of an encoder


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Raises on the way out if a weight or buffer of the module, its modes or what it trains is not what it was, to
    the bit: a probe that changes what it probes measures something else."""
    before = _fingerprints(module)
    yield
    after = _fingerprints(module)
    if changed := [name for name in before | after if before.get(name) != after.get(name)]:
        raise InputError(f"encoder: expected a forward pass that leaves it as it is, received a change in {changed[0]}")


def _fingerprints(module: nn.Module) -> dict[str, object]:
    found: dict[str, object] = {f"{name} (mode)": m.training for name, m in module.named_modules()}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        found[name] = (hashlib.sha256(raw.numpy().tobytes()).digest(), tensor.requires_grad, tensor.grad is None)
    return found


def class_probes(
    encoder: Encoder,
    images: Tensor,
    labels: Tensor,
    *,
    layers: Sequence[str] | None = None,
    transform: Transform | None = None,
    folds: int = 5,
    controls: int = 1,
    penalty: float = 1e-2,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """:func:`class_probe` at every layer (or at ``layers``), from images ``(n, 3, H, W)``; ``transform``: a trigger,
    to read the source class of triggered images. The encoder is frozen, and held to it (:func:`frozen`)."""
    with frozen(encoder):
        features = capture(encoder, images, layers=layers, transform=transform)
    return {
        name: class_probe(x, labels, folds=folds, controls=controls, penalty=penalty, seed=seed)
        for name, x in features.items()
    }


def trigger_probes(
    encoder: Encoder,
    images: Tensor,
    trigger: Transform,
    *,
    layers: Sequence[str] | None = None,
    folds: int = 5,
    controls: int = 1,
    penalty: float = 1e-2,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """:func:`trigger_probe` at every layer (or at ``layers``), from images ``(n, 3, H, W)`` shown with and without the
    trigger. The encoder is frozen, and held to it (:func:`frozen`)."""
    with frozen(encoder):
        clean = capture(encoder, images, layers=layers)
        triggered = capture(encoder, images, layers=layers, transform=trigger)
    return {
        name: trigger_probe(clean[name], triggered[name], folds=folds, controls=controls, penalty=penalty, seed=seed)
        for name in clean
    }
