"""The native head of learners without a classifier: a linear head on the victim's own training data."""

import torch
from torch import Tensor

from ..representations.capture import capture
from ..representations.encoders import FEATURES, Encoder
from ..representations.evaluators import fit_ridge
from ..representations.seeds import generator
from .experiment import Experiment

__all__ = ["MOST", "fit_native_head"]

MOST = 10_000


def fit_native_head(encoder: Encoder, experiment: Experiment, *, most: int = MOST) -> dict[str, Tensor]:
    """Fit a ridge head on what the arm was trained on: poisons have the trigger, and the label that they are bound to.

    This is the victim's linear evaluation. Evaluators that saw clean images only do not see a backdoor with a place of
    its own in the representation; this head can. Images are not augmented.

    Args:
        most: largest number of training images, drawn by the recipe's seed; poisons keep their share.

    Returns:
        ``weight``, float32 ``(C, d)``, and ``bias`` ``(C,)``, on L2-normalised features.
    """
    train, trigger = experiment.train, experiment.train_trigger
    stream = generator(experiment.recipe.seed, "native-head")
    chosen = torch.randperm(len(train), generator=stream)[:most].sort().values
    poisoned = experiment.mask[chosen]
    features = capture(encoder, train.images[chosen], layers=[FEATURES])[FEATURES]
    if poisoned.any():
        images = train.images[chosen[poisoned]]
        features[poisoned] = capture(encoder, images, layers=[FEATURES], transform=trigger)[FEATURES]
    weight, bias = fit_ridge(features, experiment.labels[chosen], classes=len(train.classes))
    return {"weight": weight.float().contiguous(), "bias": bias.float()}
