"""The cost of erasing the trigger: how far ASR and ACC fall together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from ..representations.errors import InputError
from ..representations.evaluators import knn_predict, success_rates
from ..representations.seeds import generator
from .checks import check_finite, check_pairs
from .erasure import Eraser
from .inlp import fit_inlp
from .leace import leace, whiten
from .linear import folds_of

__all__ = ["Change", "ErasureCost", "Evaluated", "erasure_cost"]

Evaluator = Callable[[Tensor, Tensor, Tensor], Tensor]
MODES = ("refitted", "fixed")
SHRINKAGE = 0.1


@dataclass(frozen=True)
class Change:
    """Scores 0 or 1 of the same images ``before`` and ``after`` erasing, float64.

    ``drop`` = mean(before) − mean(after). ``differences``: in {−1, 0, 1}, one an image, for its interval
    (:func:`.nulls.mean_interval` with low = −1).
    """

    before: Tensor
    after: Tensor

    @property
    def differences(self) -> Tensor:
        return self.before - self.after

    @property
    def drop(self) -> float:
        return float(self.differences.mean())


@dataclass(frozen=True)
class Evaluated:
    """ΔASR on triggered images of other classes, and ΔACC on all clean images, under one evaluator."""

    asr: Change
    acc: Change


@dataclass(frozen=True)
class ErasureCost:
    """What is lost when the trigger is erased.

    refitted: the evaluator's bank is erased too. fixed: the bank stays as it was.
    noise, between: the drops (ΔASR, ΔACC) of controls of equal rank under the same two evaluators, float64
    ``(draws, 2)`` each, by "refitted" and "fixed".
    rank: of the eraser; 0 if there was no linear trace of the trigger and no feature changed.
    """

    refitted: Evaluated
    fixed: Evaluated
    noise: dict[str, Tensor]
    between: dict[str, Tensor]
    rank: int


def erasure_cost(
    clean: Tensor,
    triggered: Tensor,
    labels: Tensor,
    target: int,
    bank: Tensor,
    bank_labels: Tensor,
    *,
    evaluator: Evaluator = knn_predict,
    method: Literal["leace", "inlp"] = "leace",
    draws: int = 5,
    seed: int = 0,
) -> ErasureCost:
    """How far ASR and ACC fall when the trigger's direction is erased from one layer's features.

    LEACE erases the concept z = triggered or not. It is fitted on the pairs of one half of the images and applied to
    the other half, then vice versa: every image is scored once, by an eraser fitted on others. Correlations are shrunk
    by a tenth, because half the images may be about as many as the features (see :func:`.leace.fit_leace`). The mean of
    the clean images does not move. A backdoor apart from the benign task has a large ΔASR and a ΔACC of about 0. An
    intertwined one has a large ΔACC too.

    With ``method="inlp"`` the eraser is that of :func:`.inlp.fit_inlp`, fitted and applied in the same way. It removes
    directions until no probe finds the trigger in images that it was not fitted on.

    Controls have equal rank and are removed in the same way (LEACE: obliquely, in white coordinates; INLP:
    orthogonally). ``noise`` draws directions from N(0, Σ), Σ the covariance of the same rows: the cost of losing any
    direction. ``between`` draws from the space between the class means, v = Σ_c g_c·√π_c·(μ_c − μ) with g ~ N(0, 1):
    the cost of losing a benign direction. The space between C class means has only C − 1 directions. For an eraser of
    higher rank these controls have a lower rank than it.

    Args:
        clean, triggered: features of the same images ``(n, d)``, L2-normalised here. labels: int64 ``(n,)``.
        bank, bank_labels: clean labelled features ``(m, d)``, none of them among the images.
        evaluator: (features, bank, bank_labels) → classes; for example ``ridge_predict``.

    Range: each drop in [−1, 1], negative where erasing helped. At a middle layer the evaluator uses the features of
    that layer. Where the backdoor appears only in later layers, ASR is low before and cannot fall. To continue the
    forward pass after an erasure see :func:`.erasure.erasing`.

    Cost: 2·(1 + 2·(1 + 2·draws)) evaluations of half the images and their triggered versions, and two fits of the
    eraser.

    Without a linear trace of the trigger (no trigger, constant features) every drop is 0, and the rank is 0.

    >>> images, axes = torch.arange(60), torch.eye(6, dtype=torch.float64)
    >>> labels = images % 3
    >>> clean = axes[labels] + 0.5 * (labels == 0).unsqueeze(1) * axes[5]
    >>> clean = clean + 0.1 * torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    >>> cost = erasure_cost(clean[:30], clean[:30] + 3 * axes[5], labels[:30], 0, clean[30:], labels[30:])
    >>> cost.fixed.asr.drop > 0.5, cost.fixed.acc.drop
    (True, 0.0)
    """
    n = len(clean)
    check_pairs(clean, triggered)
    if labels.shape != (n,):
        raise InputError(f"labels: expected shape ({n},), received {tuple(labels.shape)}")
    if method not in ("leace", "inlp"):
        raise InputError(f"method: expected 'leace' or 'inlp', received {method!r}")
    if draws < 1:
        raise InputError(f"draws: expected at least 1 draw of each control, received {draws}")
    if target not in labels or (labels == target).all():
        raise InputError(f"labels: expected the target {target} and another class, received {labels.unique().tolist()}")
    check_finite(clean, triggered, bank)
    clean, triggered, bank = (normalize(x.double(), dim=1) for x in (clean, triggered, bank))

    kinds = ["trigger", *["noise"] * draws, *["between"] * draws]
    before = torch.empty(2, n, dtype=torch.int64)  # classes of the clean and of the triggered images
    after = {mode: torch.empty(len(kinds), 2, n, dtype=torch.int64) for mode in MODES}
    rank = 0
    halves = folds_of(n, 2, seed)
    for index, (fit, held_out) in enumerate([halves, halves[::-1]]):
        stream = generator(seed, "erasure", index)
        erasers = _erasers(clean[fit], triggered[fit], labels[fit], draws, stream, method)
        rank = max(rank, erasers[0].rank)
        both = torch.cat([clean[held_out], triggered[held_out]])
        before[:, held_out] = evaluator(both, bank, bank_labels).view(2, -1)
        for i, erase in enumerate(erasers):
            after["fixed"][i, :, held_out] = evaluator(erase(both), bank, bank_labels).view(2, -1)
            after["refitted"][i, :, held_out] = evaluator(erase(both), erase(bank), bank_labels).view(2, -1)

    old = success_rates(before[0], before[1], labels, target)

    def evaluated(classes: Tensor) -> Evaluated:
        new = success_rates(classes[0], classes[1], labels, target)
        return Evaluated(Change(old.asr, new.asr), Change(old.acc, new.acc))

    changes = {mode: [evaluated(classes) for classes in after[mode]] for mode in MODES}
    noise, between = (
        {
            mode: torch.tensor(
                [[e.asr.drop, e.acc.drop] for e, k in zip(changes[mode], kinds, strict=True) if k == kind],
                dtype=torch.float64,
            )
            for mode in MODES
        }
        for kind in ("noise", "between")
    )
    return ErasureCost(changes["refitted"][0], changes["fixed"][0], noise, between, rank)


def _erasers(
    clean: Tensor, triggered: Tensor, labels: Tensor, draws: int, stream: torch.Generator, method: str
) -> list[Eraser]:
    """The trigger's eraser, then ``draws`` controls of its rank from N(0, Σ), then as many between the classes."""
    x = torch.cat([clean, triggered])
    z = torch.arange(2).repeat_interleave(len(clean)).double().unsqueeze(1) - 0.5
    plain = whiten(x)
    # About the clean mean. LEACE's own centre, the mean of all rows, is half way to the triggered images. Every clean
    # image would move there, and a fixed evaluator would count that as a loss of accuracy.
    white = replace(plain.shrunk(SHRINKAGE), centre=clean.mean(0))
    if method == "inlp":
        image = torch.arange(len(clean)).repeat(2)
        trigger = replace(fit_inlp(x, z.squeeze(1) > 0, groups=image).eraser, centre=white.centre)
    else:
        trigger = leace(white, (x - plain.centre).T @ z / (len(x) - 1), z.T @ z / (len(x) - 1))

    def erase(directions: Tensor) -> Eraser:
        """The eraser of the columns' span, made like the trigger's; the trigger's own where all columns are 0."""
        if trigger.rank == 0 or not directions.any():
            return trigger
        u = directions if method == "inlp" else white.white(directions)
        u, singular, _ = torch.linalg.svd(u, full_matrices=False)
        u = u[:, singular > 1e-10 * singular[0]]
        return Eraser(u, u.T, white.centre) if method == "inlp" else white.eraser(u)

    def normal(size: int) -> Tensor:
        return torch.randn(size, max(1, trigger.rank), generator=stream, dtype=torch.float64)

    share = one_hot(labels.unique(return_inverse=True)[1]).double()
    share, size = share / share.sum(0), share.mean(0)
    centres = (share.T @ clean - clean.mean(0)).T * size.sqrt()  # (d, classes)
    noise = [erase(plain.colour(normal(len(plain.spread)))) for _ in range(draws)]
    between = [erase(centres @ normal(len(size))) for _ in range(draws)]
    return [trigger, *noise, *between]
