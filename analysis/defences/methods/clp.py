"""Channel Lipschitzness Pruning (Zheng et al., ECCV 2022): prune channels that could amplify much more than others."""

import copy

import torch

from ....probes.lipschitz import channel_lipschitz
from ....representations.encoders import Encoder

__all__ = ["clp"]


def clp(encoder: Encoder, *, u: float = 3.0) -> Encoder:
    """Make a copy in which the channels that :func:`.lipschitz.channel_lipschitz` flags are 0. No data are needed.

    Their weights are 0, and so are scale and shift of the following normalisation. u: the rule's number of standard
    deviations.
    """
    pruned = copy.deepcopy(encoder).eval()
    modules = dict(pruned.backbone.named_modules())
    names = list(modules)
    with torch.no_grad():
        for found in channel_lipschitz(pruned.backbone, u=u):
            convolution = modules[found.layer]
            convolution.weight[found.flagged] = 0
            if convolution.bias is not None:
                convolution.bias[found.flagged] = 0
            following = modules[names[names.index(found.layer) + 1]] if found.layer != names[-1] else None
            if isinstance(following, torch.nn.BatchNorm2d) and following.num_features == len(found.flagged):
                following.weight[found.flagged] = 0
                following.bias[found.flagged] = 0
    return pruned
