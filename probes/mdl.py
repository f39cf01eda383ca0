"""Online codelength: how many bits a label costs when it is sent with a probe that learns as it goes."""

import itertools
import math
import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import normalize, softplus

from ..representations.errors import InputError
from ..representations.seeds import generator

__all__ = ["trigger_codelength"]

# Shares of the pairs at which the probe is fitted again; the first part is sent with the uniform code.
FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)


def trigger_codelength(clean: Tensor, triggered: Tensor, *, seed: int = 0) -> float:
    """Bits a label to tell triggered images from the same images without trigger, sent online.

    Prequential code of Voita and Titov (EMNLP 2020), §3: the first tenth costs one bit a label, each later block is
    coded by a logistic probe fitted on all before it. 1: the trigger cannot be read; near .1: read from the start. A
    probe that is confidently wrong costs more than 1. Unlike an AUC it does not saturate: it also says how *easily* a
    trigger is read.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 20; pairs stay together.
    """
    n = len(clean)
    if clean.shape != triggered.shape or clean.ndim != 2:
        raise InputError(
            f"clean, triggered: expected equal (n, d), received {tuple(clean.shape)}, {tuple(triggered.shape)}"
        )
    if n < 20:
        raise InputError(f"clean: expected at least 20 images, received {n}")
    order = torch.randperm(n, generator=generator(seed, "codelength", n))
    pairs = torch.stack([normalize(clean.double(), dim=1), normalize(triggered.double(), dim=1)], dim=1)[order]
    ends = [round(f * n) for f in FRACTIONS]
    bits = 2.0 * ends[0]
    for start, end in itertools.pairwise(ends):
        x = pairs[:start].flatten(0, 1)
        mean, sd = x.mean(0), x.std(0)
        scale = torch.where(sd > 1e-12, 1 / sd, torch.zeros_like(sd))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # separable data: the penalty bounds the weights
            probe = LogisticRegression(max_iter=200).fit(((x - mean) * scale).numpy(), [0, 1] * start)
        block = (pairs[start:end].flatten(0, 1) - mean) * scale
        # −log p of the truth is softplus(−margin), which stays finite where the probability itself would round to 0.
        sign = torch.tensor([-1.0, 1.0]).repeat(end - start)
        margin = sign * torch.from_numpy(probe.decision_function(block.numpy()))
        bits += float(softplus(-margin).sum()) / math.log(2)
    return bits / (2 * n)
