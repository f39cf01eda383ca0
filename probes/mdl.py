"""Online codelength: the bits of a label when labels are coded one block after another, by probes of earlier blocks."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..representations.errors import InputError
from ..representations.seeds import generator
from .checks import check_finite, check_groups, check_labelled, check_pairs
from .logistic import LogisticProbe, fit_logistic

__all__ = ["Codelength", "codelength", "trigger_codelength"]

# Shares of the images at which the probe is fitted again; the first part has the uniform code.
FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Codelength:
    """``value``: bits a label. ``scores``: bits a label of each image, by ascending image id, float64 ``(images,)``.

    Their mean is the value when all images have equally many rows. For intervals: scores are ≥ 0, unbounded, and not
    independent, since they share probes. (Student's interval of them, planted with n = 60, covered 89 to 98 % at a
    nominal 95 %.)
    """

    value: float
    scores: Tensor

    def __float__(self) -> float:
        return self.value


def codelength(
    features: Tensor, labels: Tensor, *, groups: Tensor | None = None, orders: int = 5, seed: int = 0
) -> Codelength:
    """Bits a label to code the labels online, given the features, averaged over random orders of the images.

    The prequential code of Voita and Titov (EMNLP 2020), §3. The first tenth of the images costs log₂ K bits a label, K
    the number of classes. Each later block is coded by a logistic probe fitted on all images before it, with a free
    intercept and the prior N(0, 1/d) on the weights of standardised features. A logit then varies by about 1 under the
    prior, whatever the width d. (With N(0, 1), noise at d = 512 costs up to 3 bits instead of 1, because the prior
    expects logits of ±23.) log₂ K: the labels cannot be read. Near log₂(K)/10: they are read from the start, by many
    features. Labels that one feature of d = 512 gives away are read late: compare codes at equal d and n only. Unlike
    an accuracy the code does not saturate: it also measures how *easily* the labels are read.

    A class that a probe was not fitted on is coded by escape: each such class gets the share of one label beside the
    labels so far. Constant features: the code of the classes' frequencies.

    Args:
        features: ``(n, d)``, L2-normalised here. labels: int64 ``(n,)``, at least two classes.
        groups: int64 ``(n,)``, the image that a row shows, at least 20 images. The rows of an image are coded together.
            By default every row shows an image of its own.
        orders: the number of random orders. The value of one order depends on which images come first.

    Range: 0 to ∞. Cost: four fits an order.
    """
    check_labelled(features, labels)
    groups = check_groups(groups, labels)
    if orders < 1:
        raise InputError(f"orders: expected at least 1, received {orders}")
    check_finite(features)
    classes, codes = labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels: expected at least two classes, received {classes.tolist()}")
    ids, image, rows = groups.unique(return_inverse=True, return_counts=True)
    n = len(ids)
    if n < 20:
        raise InputError(f"groups: expected at least 20 images, received {n}")
    x = normalize(features.double(), dim=1)
    bits = torch.stack([_bits(x, codes, image, len(classes), _order(n, seed, i)) for i in range(orders)]).mean(0)
    scores = torch.zeros(n, dtype=torch.float64).index_add_(0, image, bits) / rows
    return Codelength(float(bits.mean()), scores)


def trigger_codelength(clean: Tensor, triggered: Tensor, *, orders: int = 5, seed: int = 0) -> Codelength:
    """Bits a label to code online which images are triggered.

    :func:`codelength` of two labels, in which the two versions of an image stay together. 1: the trigger cannot be read
    (exactly 1 for equal or constant features). Near .1: it is read from the start, by many features. ``float()`` gives
    the value.

    Args:
        clean, triggered: features of the same images ``(n, d)``, n ≥ 20, L2-normalised here.

    >>> clean = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)) + 9 * torch.eye(8)[1]
    >>> trigger_codelength(clean, clean).value
    1.0
    >>> trigger_codelength(clean, clean + 9 * torch.eye(8)[0]).value < 0.5
    True
    """
    n = len(clean)
    check_pairs(clean, triggered)
    if n < 20:
        raise InputError(f"clean: expected at least 20 images, received {n}")
    labels, images = torch.arange(2).repeat_interleave(n), torch.arange(n).repeat(2)
    return codelength(torch.cat([clean, triggered]), labels, groups=images, orders=orders, seed=seed)


def _order(n: int, seed: int, index: int) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "codelength", n, index))


def _bits(x: Tensor, codes: Tensor, image: Tensor, classes: int, order: Tensor) -> Tensor:
    """Bits of each row's label when the images are coded in this order."""
    n = len(order)
    place = torch.empty(n, dtype=torch.int64)
    place[order] = torch.arange(n)
    place = place[image]  # of each row
    ends = [round(f * n) for f in FRACTIONS]
    bits = torch.full((len(x),), math.log2(classes), dtype=torch.float64)
    for start, end in itertools.pairwise(ends):
        known, block = place < start, (place >= start) & (place < end)
        # Prior N(0, 1/d): the sum of the losses counts, so that a probe fitted on more images is more confident.
        probe = fit_logistic(x[known], codes[known], penalty=x.shape[1] / int(known.sum()))
        bits[block] = _cost(probe, x[block], codes[block], int(known.sum()), classes) / math.log(2)
    return bits


def _cost(probe: LogisticProbe, x: Tensor, codes: Tensor, seen: int, classes: int) -> Tensor:
    """−log p of each label; finite also where the probability rounds to 0."""
    unseen = classes - len(probe.classes)
    column = torch.searchsorted(probe.classes, codes).clamp(max=len(probe.classes) - 1)
    known = probe.classes[column] == codes
    log_p = probe(x).log_softmax(1).gather(1, column.unsqueeze(1)).squeeze(1)
    escape = math.log(seen + unseen)
    return torch.where(known, escape - math.log(seen) - log_p, torch.full_like(log_p, escape))
