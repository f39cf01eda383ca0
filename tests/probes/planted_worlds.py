"""A planted network with its evaluator and its hits, for the tests of interventions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from intertwine.probes.collateral import Collateral, collateral
from intertwine.probes.mediation import Mediation, mediation
from intertwine.probes.planted_network import PlantedNetwork, planted_network
from intertwine.representations import capture, knn_predict
from torch import Tensor


@dataclass(frozen=True)
class World:
    """``natural``: share of clean images of other classes that the evaluator sends to the target: ASR without a
    backdoor. ``hits``: bool ``(n,)``."""

    network: PlantedNetwork
    bank: dict[str, Tensor]
    bank_triggered: dict[str, Tensor]
    predict: Callable[[Tensor], Tensor]
    hits: Tensor
    acc: float
    asr: float
    natural: float

    @property
    def others(self) -> Tensor:
        return self.network.labels != self.network.target


@cache
def world(sharing: float, **dials: float) -> World:
    p = planted_network(sharing, **{"n": 500, **dials})
    bank = capture(p.encoder, p.bank)
    bank_triggered = capture(p.encoder, p.bank, transform=p.trigger)

    def predict(features: Tensor) -> Tensor:
        return knn_predict(features, bank["features"], p.bank_labels)

    clean = predict(capture(p.encoder, p.images)["features"])
    triggered = predict(capture(p.encoder, p.images, transform=p.trigger)["features"])
    others = p.labels != p.target
    hits = others & (clean != p.target) & (triggered == p.target)
    rates = (clean == p.labels, (triggered == p.target)[others], (clean == p.target)[others])
    return World(p, bank, bank_triggered, predict, hits, *(float(x.double().mean()) for x in rates))


def mediated(w: World, layer: str = "layer2", most: int = 150) -> Mediation:
    p, hits = w.network, w.network.images[w.hits][:most]
    bank = {layer: w.bank[layer]}
    return mediation(p.encoder, hits, p.trigger(hits), bank, p.bank_labels, w.predict, p.target)[layer]


def collateral_of(w: World, layer: str = "layer2", **options: object) -> Collateral:
    p = w.network
    others, of_target = p.images[w.others][:300], p.images[~w.others]
    return collateral(
        *(p.encoder, layer, p.trigger(others), of_target, (w.bank[layer], p.bank_labels), w.bank_triggered[layer]),
        *(w.predict, p.target),
        **{"benign_asr": w.natural, **options},
    )


def rate(scores: Tensor) -> float:
    return float(torch.as_tensor(scores).double().mean())
