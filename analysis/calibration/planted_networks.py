"""Planted networks: mediation and collateral where the share of a common branch is known.

See :mod:`intertwine.probes.planted_network`. The dial *sharing* m is the share of the trigger's activation that enters
the branch of the target class. Other dials: *noise* within classes (it sets ACC), *imbalance* of the target class,
*width*, and *own_nuisance*: how much the backdoor's own channel varies in clean images. Readings are those of the panel
at ``layer2``, by the ridge probe.
"""

from collections.abc import Mapping

import torch

from ...probes.planted_network import planted_network
from ...representations.capture import capture
from ...representations.encoders import FEATURES
from ...representations.evaluators import is_hit, ridge_predict
from ..panel.evaluation_data import evaluation_data
from ..panel.options import PanelOptions
from ..panel.readings.interventions import SUBSETS, intervention_readings
from .plant import Plant, Values

__all__ = ["NETWORKS"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
REST = {"sharing": 0.5, "noise": 0.2, "imbalance": 1.0, "width": 48.0, "own_nuisance": 0.2}
OTHERS = {"noise": (0.1, 0.2, 0.4, 0.5), "imbalance": (0.5, 1.0, 3.0, 5.0), "width": (24.0, 48.0, 72.0, 96.0)}
OTHERS |= {"own_nuisance": (0.02, 0.1, 0.2, 0.3)}
LAYER, BANK = "layer2", 1000
NAMES = ("mediation_excess", "collateral")


def _read(n: int, dials: Mapping[str, float], seed: int, intervals: bool) -> Values:
    """``n``: number of images of all classes."""
    planted = planted_network(
        dials["sharing"],
        noise=dials["noise"],
        imbalance=dials["imbalance"],
        own_nuisance=dials["own_nuisance"],
        width=int(dials["width"]),
        n=n,
        bank=BANK,
        seed=seed,
        network=0,  # one network and bank: an interval is over held-out images
    )
    options = PanelOptions(images=max(n, 100), bank=BANK, evaluator="ridge", seed=seed)
    data = evaluation_data(
        *(planted.images, planted.labels, planted.trigger, planted.target, options),
        bank=(planted.bank, planted.bank_labels),
    )
    encoder = planted.encoder
    bank = capture(encoder, data.bank, layers=[FEATURES])[FEATURES]

    def predict(features: torch.Tensor) -> torch.Tensor:
        return ridge_predict(features, bank, data.bank_labels)

    without, with_it = (
        predict(capture(encoder, data.images, layers=[FEATURES], transform=trigger)[FEATURES])
        for trigger in (None, planted.trigger)
    )
    hits = is_hit(without, with_it, data.classes, data.target)
    found = intervention_readings(encoder, [LAYER], data, hits, predict, 0.0, NAMES, intervals=intervals)
    readings = {(name, SUBSETS[name]): found[(LAYER, name, SUBSETS[name], "")] for name in NAMES}
    return {key: (r.value, *r.interval) for key, r in readings.items()}


NETWORKS = (
    Plant(
        "networks",
        "Convolutional networks of ten classes, n images in all. *Sharing*: share m of the trigger's activation that "
        "enters the branch of the target class; the rest goes through a branch of its own.",
        _read,
        {"sharing": SHARES},
        REST,
        tuple(REST | {"sharing": m} for m in (0.0, 0.5, 1.0)),
        counted=(200,),
        sizes=(200, 1000),
        redraws=200,
    ),
    *(
        Plant(
            f"networks, m = {m:g}",
            "The same, in which the other dials move.",
            _read,
            OTHERS,
            REST | {"sharing": m},
            (),
            sizes=(1000,),
        )
        for m in (0.0, 0.5, 1.0)
    ),
)
