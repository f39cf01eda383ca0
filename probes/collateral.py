"""Collateral: what the target class loses when the trigger's subspace is removed.

Removal is oblique, as in LEACE (see :mod:`.leace`): with as small a move of the features as possible, here at every
position. Two things differ. What is removed is set to its mean over clean images of *other* classes: images without the
trigger, and not of the target class. And coordinates are white *within the classes*. LEACE itself separates triggered
images from images of the target class, because only the first show a second class as well. It then takes the backdoor
out of a feature that the class shares, and leaves the feature to the class. (The planted value of one shared feature
was .18 in place of .95.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .erasure import Eraser
from .leace import Whitening, leace, whiten
from .mediation import class_means, within_directions
from .nulls import NO_INTERVAL, Interval, jackknife_interval
from .patching import activations, cuts, run_edited, unit_interval

__all__ = ["RANKS", "Collateral", "class_eraser", "collateral", "trigger_erasers"]

RANKS = (1, 2, 4, 8)
"""Ranks that are tried, in this order, until the backdoor is gone. It need not fall with every rank."""
SHRINKAGE = 0.1  # as in erasure_cost: there may be about as many images as channels
MARGIN = 0.05  # the backdoor is gone where ASR is less than this above the benign twin's
LEAST_COST = 0.1  # of the class direction, below which a ratio to it means nothing


@dataclass(frozen=True)
class Collateral:
    """Scores 0 or 1 of the clean target images, float64 ``(n,)``: is each sent to the target?

    before: without intervention. after: with the trigger's subspace removed. without_class: with the target's class
    direction removed. random: with random subspaces of the rank of the trigger's, ``(draws, n)``.
    rank: the smallest of :data:`RANKS` at which the backdoor is gone; 0 if none is. asr: before, and after each rank
    tried.
    """

    before: Tensor
    after: Tensor
    without_class: Tensor
    random: Tensor
    rank: int
    asr: tuple[float, ...]

    @property
    def class_cost(self) -> float:
        """Recall lost with the class direction."""
        return float((self.before - self.without_class).mean())

    @property
    def undefined(self) -> str:
        """Why there is no value; empty if there is one."""
        if self.rank == 0 and len(self.asr) == 1:
            return f"there is no backdoor to remove: ASR {self.asr[0]:.2f}"
        if self.rank == 0:
            rates = ", ".join(f"{x:.2f}" for x in self.asr)
            return f"the backdoor is not gone at any of the ranks tried: ASR {rates} (before, then by rank)"
        if self.class_cost < LEAST_COST:
            return f"removing the class direction costs {self.class_cost:.3g} of recall, expected at least {LEAST_COST}"
        return ""

    @property
    def value(self) -> float:
        """Recall lost with the trigger, as a share of that lost with the class direction; NaN where undefined."""
        return float("nan") if self.undefined else float((self.before - self.after).mean()) / self.class_cost

    @property
    def apart(self) -> float:
        """The same of random subspaces, in place of the trigger's."""
        lost = float((self.before - self.random).mean())
        return float("nan") if self.undefined else lost / self.class_cost

    def interval(self, *, seed: int = 0) -> Interval:
        """Delete-a-block jackknife over the target images, with two images added: one that is lost, and one won.

        They are those of :func:`.nulls.paired_interval`: the interval has a width when all scores are equal.
        """
        if self.undefined:
            return NO_INTERVAL
        lost, cost = self.before - self.after, self.before - self.without_class

        def statistic(masks: Tensor) -> Tensor:
            of = masks.double()
            return (of @ lost) / (of @ cost)

        n = len(lost)
        low, high = jackknife_interval(statistic, n, curvature=False, seed=seed)
        added = 2.0 * (2 / self.class_cost**2) ** 0.5  # twice the root of their sum of squares
        reach = (((high - low) / 2 * n) ** 2 + added**2) ** 0.5 / (n + 2)
        centre = self.value * n / (n + 2)
        return centre - reach, centre + reach


def collateral(
    encoder: Encoder,
    layer: str,
    triggered: Tensor,
    of_target: Tensor,
    bank: tuple[Tensor, Tensor],
    bank_triggered: Tensor,
    predict: Callable[[Tensor], Tensor],
    target: int,
    *,
    benign_asr: float,
    ranks: Sequence[int] = RANKS,
    draws: int = 3,
    seed: int = 0,
) -> Collateral:
    """Recall of the target class before and after the trigger's subspace is removed at a layer.

    Args:
        triggered: held-out images of other classes with the trigger, ``(n, 3, H, W)``. of_target: clean held-out images
            of the target class.
        bank: activations at the layer of clean images that are not held out, averaged over positions ``(m, d)``, and
            their classes. bank_triggered: activations of the same images with the trigger.
        predict: the evaluator that decides, features ``(n, d)`` → classes ``(n,)``. It stays as it is.
        benign_asr: ASR of the benign twin. The backdoor is gone below this + .05.
        ranks: tried in this order, up to d − 1. draws: random subspaces, from N(0, Σ_within).

    Returns:
        A :class:`Collateral`. Its value is about 1 where the class needs what the trigger uses, 0 where it does not,
        and may be beyond: a removal can help, or cost more than the class direction.

    Raises:
        InputError: no images, unequal shapes, an unknown layer, or a bank without the target.

    Cost: n + n_t forward passes, then from the layer on n passes for each rank tried and (2 + draws)·n_t.
    """
    check = _checked(bank, bank_triggered, target, triggered, of_target)
    alone = cuts(encoder, layer, of_target)
    held = activations(encoder, torch.cat([unit_interval(triggered), unit_interval(of_target)]), [layer])[layer]
    theirs, own = held[: len(triggered)], held[len(triggered) :]

    def says(values: Tensor, images: Tensor, erasers: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        """Whether the evaluator sends images to the target, float64 ``(k, n)``."""
        features = run_edited(encoder, layer, values, images, erasers, alone=alone)
        return (predict(features.flatten(0, 1)) == target).double().view(features.shape[:2])

    clean, labels, moved = check
    possible = [r for r in ranks if r < clean.shape[1]]
    white, directions = _trigger_directions(clean, moved, labels, target, max([*possible, 1]))
    asr, found = [float(says(theirs, triggered, [_unchanged])[0].mean())], 0
    eraser = white.eraser(directions[:, :0])
    gone = benign_asr + MARGIN
    for rank in possible if asr[0] >= gone else ():
        if rank > directions.shape[1]:
            break
        eraser = white.eraser(directions[:, :rank])
        asr.append(float(says(theirs, triggered, [eraser])[0].mean()))
        if asr[-1] < gone:
            found = rank
            break
    stream = generator(seed, "collateral", layer)
    random = [_random_eraser(white, clean, labels, max(1, found), stream) for _ in range(draws)]
    scores = says(own, of_target, [_unchanged, eraser, class_eraser(clean, labels, target), *random])
    return Collateral(scores[0], scores[1], scores[2], scores[3:], found, tuple(asr))


def trigger_erasers(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, ranks: Sequence[int]
) -> list[Eraser]:
    """Erasers of the trigger's subspace of each rank, about the mean of the clean rows of other classes.

    The first direction is that of LEACE for the concept "triggered": the mean displacement in white coordinates. The
    others are the leading singular directions of the displacements about their mean, in white coordinates and
    orthogonal to the first. There may be fewer than asked for.

    Args:
        clean, triggered: activations of the same images, ``(m, d)``. labels: their classes, int64 ``(m,)``.
    """
    white, directions = _trigger_directions(clean.double(), triggered.double(), labels, target, max(ranks))
    return [white.eraser(directions[:, :rank]) for rank in ranks]


def class_eraser(clean: Tensor, labels: Tensor, target: int) -> Eraser:
    """LEACE of the concept "of the target class", rank 1, about the mean of the rows of others; rows ``(m, d)``."""
    x = clean.double()
    plain = whiten(x)
    z = (labels == target).double().unsqueeze(1)
    z = z - z.mean(0)
    white = replace(plain.shrunk(SHRINKAGE), centre=x[labels != target].mean(0))
    return leace(white, (x - plain.centre).T @ z / (len(x) - 1), z.T @ z / (len(x) - 1))


def _trigger_directions(
    clean: Tensor, triggered: Tensor, labels: Tensor, target: int, most: int
) -> tuple[Whitening, Tensor]:
    """White coordinates, and orthonormal directions in them ``(r, ≤ most)``, that of LEACE first."""
    index = labels.unique(return_inverse=True)[1]
    middle = class_means((clean + triggered) / 2, labels)[0][index]
    white = whiten(torch.cat([clean - middle, triggered - middle])).shrunk(SHRINKAGE)
    white = replace(white, centre=clean[labels != target].mean(0))
    moved = white.white((triggered - clean).T)  # (r, m)
    mean = moved.mean(1, keepdim=True)
    if not float(mean.norm()) > 1e-9:
        return white, mean[:, :0]
    first = mean / mean.norm()
    rest = moved - mean
    rest = rest - first @ (first.T @ rest)
    u, s, _ = torch.linalg.svd(rest, full_matrices=False)
    kept = (s > 1e-7 * mean.norm() * len(clean) ** 0.5)[: most - 1]
    return white, torch.cat([first, u[:, : most - 1][:, kept]], 1)


def _random_eraser(white: Whitening, clean: Tensor, labels: Tensor, rank: int, stream: torch.Generator) -> Eraser:
    drawn = white.white(within_directions(clean, labels, rank, stream))
    u, s, _ = torch.linalg.svd(drawn, full_matrices=False)
    return white.eraser(u[:, s > 1e-10 * s[0]])


def _unchanged(x: Tensor) -> Tensor:
    return x


def _checked(
    bank: tuple[Tensor, Tensor], bank_triggered: Tensor, target: int, triggered: Tensor, of_target: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    clean, labels = bank
    if clean.ndim != 2 or clean.shape != bank_triggered.shape or labels.shape != (len(clean),):
        shapes = tuple(clean.shape), tuple(bank_triggered.shape), tuple(labels.shape)
        raise InputError(f"bank: expected (m, d) without and with the trigger and labels (m,), received {shapes}")
    if clean.shape[1] < 2:
        raise InputError("bank: expected at least two channels, received one")
    if not (labels == target).any() or (labels == target).all():
        raise InputError(f"bank: expected the target {target} and another class, received {labels.unique().tolist()}")
    if len(triggered) == 0 or len(of_target) == 0:
        raise InputError("triggered, of_target: expected at least one image in each, received none")
    return clean.double(), labels, bank_triggered.double()
