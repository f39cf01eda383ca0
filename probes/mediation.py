"""Mediation: how much of the backdoor passes through the directions between the benign classes?

An interchange intervention (Geiger et al., NeurIPS 2021; Vig et al., *Investigating Gender Bias in Language Models
Using Causal Mediation Analysis*, NeurIPS 2020) at one layer. Only the part of h(x⊕r) − h(x) inside the *class subspace*
goes into the clean run. If the image is still sent to the target, then the backdoor uses the class directions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .patching import activations, at_every_position, cuts, project, run_from, unit_interval

__all__ = ["Mediation", "Patched", "class_means", "class_subspace", "mediation", "within_directions"]

CHUNK = 32  # images whose activations at all layers are held at once
RANK_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Patched:
    """Scores 0 or 1 of the same images, float64: does the intervention have its full effect?

    own: with the class subspace, ``(n,)``. random: with random subspaces of equal rank, ``(draws, n)``.
    """

    own: Tensor
    random: Tensor

    @property
    def excess(self) -> Tensor:
        """Score minus the mean over the random subspaces, one an image, in [−1, 1]."""
        return self.own - self.random.mean(0)

    @property
    def corrected(self) -> float:
        """(own − random) / (1 − random), of the means: at most 1, and below 0 where random subspaces do more.

        NaN where they do it nearly always. Like Cohen's κ it keeps its upper end where random subspaces have much of
        the effect, because the layer is narrow or the classes overlap. The excess does not.
        """
        own, random = float(self.own.mean()), float(self.random.mean())
        return (own - random) / (1 - random) if random < 0.95 else float("nan")


@dataclass(frozen=True)
class Mediation:
    """Mediation at one layer.

    forward: the class part of the *triggered* run goes into the clean run; the score is 1 if the evaluator then
    sends the image to the target. reverse: the class part of the *clean* run goes into the triggered run; the score is
    1 if the evaluator then sends the image elsewhere. ends: name → the forward intervention with other sources in place
    of the triggered images. rank: of the subspaces. d: width of the layer.
    """

    forward: Patched
    reverse: Patched
    ends: dict[str, Patched]
    rank: int
    d: int


def class_subspace(bank: Tensor, labels: Tensor) -> Tensor:
    """Orthonormal basis of the differences between class means, float64 ``(d, r)``, r ≤ min(classes, d) − 1.

    Args:
        bank: activations of clean images, averaged over positions, ``(m, d)``. labels: int64 ``(m,)``.

    Where there are as many classes as channels, the direction that separates the means least is left out: a subspace of
    full rank would mediate everything.

    Raises:
        InputError: fewer than two classes or two channels; class means that do not differ.
    """
    means = class_means(bank, labels)[0]
    u, s, _ = torch.linalg.svd((means - means.mean(0)).T, full_matrices=False)
    most = min(len(means), bank.shape[1]) - 1
    rank = min(most, int((s > RANK_TOLERANCE * s[0]).sum())) if s[0] > 1e-12 * bank.double().abs().max() else 0
    if rank < 1:
        raise InputError(
            f"bank: expected class means that differ in at least two channels, received {tuple(bank.shape)}"
        )
    return u[:, :rank]


def within_directions(bank: Tensor, labels: Tensor, rank: int, stream: torch.Generator) -> Tensor:
    """Directions from N(0, Σ_within), float64 ``(d, rank)``: Σ_within is the covariance inside the classes."""
    means, index = class_means(bank, labels)
    rows = bank.double() - means[index]
    return rows.T @ torch.randn(len(rows), rank, generator=stream, dtype=torch.float64) / len(rows) ** 0.5


def mediation(
    encoder: Encoder,
    clean: Tensor,
    triggered: Tensor,
    bank: Mapping[str, Tensor],
    bank_labels: Tensor,
    predict: Callable[[Tensor], Tensor],
    target: int,
    *,
    sources: Mapping[str, Tensor] | None = None,
    draws: int = 3,
    seed: int = 0,
) -> dict[str, Mediation]:
    """Mediation at every layer of ``bank``.

    Args:
        clean, triggered: the hits without and with the trigger, ``(n, 3, H, W)``: the evaluator sends the second to the
            target and the first elsewhere.
        bank: layer → activations of clean images averaged over positions, ``(m, d)``. bank_labels: int64 ``(m,)``.
        predict: the evaluator that decides, features ``(n, d)`` → classes ``(n,)``.
        sources: name → images of the shape of ``clean``, whose activations take the place of the triggered ones. Clean
            images of the target class give the upper end, those of other classes the lower one.
        draws: random subspaces of equal rank, from N(0, Σ_within) of the bank, made orthonormal.

    Returns:
        layer → :class:`Mediation`. Scores are 0 or 1; excesses lie in [−1, 1]. Patched at every position of a map and
        every token.

    Raises:
        InputError: unequal shapes, no images, an unknown layer.

    Cost: (2 + sources)·n forward passes, and at each layer (2 + sources)·(1 + draws)·n passes from that layer on.
    """
    images = {"clean": clean, "triggered": triggered} | {f"source {k}": v for k, v in (sources or {}).items()}
    images = {name: unit_interval(x) for name, x in images.items()}
    for name, x in images.items():
        if x.shape != clean.shape or len(x) == 0:
            raise InputError(f"{name}: expected images {tuple(clean.shape)}, received {tuple(x.shape)}")
    if draws < 1:
        raise InputError(f"draws: expected at least one random subspace, received {draws}")
    routes = [("triggered", "clean"), ("clean", "triggered"), *((name, "clean") for name in list(images)[2:])]
    subspaces = {layer: _subspaces(x, bank_labels, draws, seed, layer) for layer, x in bank.items()}
    alone = {layer: cuts(encoder, layer, clean) for layer in bank}
    features: dict[str, list[Tensor]] = {layer: [] for layer in bank}
    for rows in torch.arange(len(clean)).split(CHUNK):
        chunk = {name: x[rows] for name, x in images.items()}
        held = {name: activations(encoder, x, list(bank)) for name, x in chunk.items()}
        for layer in bank:
            at = {name: x[layer] for name, x in held.items()}
            features[layer].append(_interchanged(encoder, layer, at, chunk, routes, subspaces[layer], alone[layer]))
    found = {}
    for layer, chunks in features.items():
        x = torch.cat(chunks, 2)  # (routes, subspaces, n, d)
        says = (predict(x.flatten(0, 2)) == target).view(x.shape[:3]).double()
        says[1] = 1 - says[1]  # the reverse: the hit is undone
        forward, reverse, *ends = (Patched(s[0], s[1:]) for s in says)
        names = list(sources or {})
        rank = subspaces[layer][0].shape[1]
        found[layer] = Mediation(forward, reverse, dict(zip(names, ends, strict=True)), rank, len(subspaces[layer][0]))
    return found


def _interchanged(
    encoder: Encoder,
    layer: str,
    at: Mapping[str, Tensor],
    images: Mapping[str, Tensor],
    routes: Sequence[tuple[str, str]],
    subspaces: Sequence[Tensor],
    alone: bool,
) -> Tensor:
    """Features ``(routes, subspaces, n, d)`` with the part in each subspace of one run put into another."""
    values, inputs = [], []
    for source, into in routes:
        difference = at[source] - at[into]
        for u in subspaces:
            values.append(at[into] + at_every_position(difference, lambda x, u=u: project(x, u)))  # type: ignore[misc]
            inputs.append(images[into])
    features = run_from(encoder, layer, torch.cat(values), torch.cat(inputs), alone=alone)
    return features.view(len(routes), len(subspaces), -1, features.shape[1])


def _subspaces(bank: Tensor, labels: Tensor, draws: int, seed: int, layer: str) -> list[Tensor]:
    """The class subspace, then random ones of its rank."""
    own = class_subspace(bank, labels)
    stream = generator(seed, "mediation", layer)
    drawn = (within_directions(bank, labels, own.shape[1], stream) for _ in range(draws))
    # Where channels do not vary, the rank may be below that of the class subspace. QR then adds directions in which
    # the classes do not vary either.
    return [own, *(torch.linalg.qr(x).Q for x in drawn)]


def class_means(bank: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the classes, float64 ``(c, d)``, and the row among them of each image, ``(m,)``."""
    if bank.ndim != 2 or labels.shape != (len(bank),):
        raise InputError(f"bank, labels: expected (m, d), (m,), received {tuple(bank.shape)}, {tuple(labels.shape)}")
    classes, index = labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels: expected at least two classes, received {classes.tolist()}")
    sums = torch.zeros(len(classes), bank.shape[1], dtype=torch.float64).index_add_(0, index, bank.double())
    return sums / index.bincount().unsqueeze(1), index
