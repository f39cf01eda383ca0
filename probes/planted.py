"""Planted truth for interference: gradients with a known cosine, and small learners that share weights.

The planted learner separates two classes or more, and has a backdoor that shifts each to the next (all-to-all). Both
tasks are equally hard. One dial, *sharing* s, sets how far they use the same weights:

- benign: the first channel contains a faint pattern of the class (with two classes, a pattern or its negative), in
  noise. A branch of two convolutions reads it for a frozen head.
- backdoor: the second channel contains the mirrored pattern in independent noise. The trigger, a bright square in the
  third channel, opens the path that reads it. s parts go through the weights of the *benign* branch, and √(1 − s²)
  parts through those of a second branch, which starts as a copy. Its head is the benign head with shifted classes.

The cosine of the two mean gradients over all weights is then s. A weight whose output is multiplied by s has a gradient
s times as long. The backdoor's gradient is s parts along the benign direction, and √(1 − s²) parts in weights that the
benign task does not use. 0: disjoint parameters, where every estimate is exactly 0. 1: two copies of one task. (If
tasks shared whole *layers*, the cosine would depend on the size of those layers.)

With several classes the gradients of single images cancel except for a small mean. With one class all gradients would
have one direction, and forty images would give three digits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..representations.encoders import Encoder, wrap
from ..representations.errors import InputError
from ..representations.seeds import derive_seed, generator
from .alignment import Alignment, align
from .gradients import WHOLE, Loss, Task, alignment_grams, task_loss
from .interference import balanced_weights, log_odds_loss

__all__ = ["PlantedLearner", "planted_gradients", "planted_learner", "read_learner"]

SIZE, CHANNELS = 8, 6
FAINT, NOISE = 0.16, 0.2  # amplitude of the pattern, and sd of the noise: 200 images are enough, 40 are not
SIGNS = torch.tensor([-0.5, 0.5])


def planted_gradients(
    cosine: float,
    *,
    blocks: int = 24,
    noise: float = 2.0,
    rank: int = 30,
    p: int = 60,
    shared: float = 0.5,
    seed: int = 0,
    draws: int = 1,
) -> Tensor:
    """Gram matrices of block gradients with a known cosine, float64 ``(draws, 2B, 2B)``, for :func:`.alignment.align`.

    Each task has a mean of length 1. Each block adds noise in ``rank`` random directions of ``p``, with root mean
    square length ``noise``: the signal-to-noise ratio of a block is 1/noise². ``shared`` is the correlation of the two
    tasks' noise, which comes from the same images.
    """
    if not -1 <= cosine <= 1 or not 0 <= shared <= 1 or not 2 <= rank <= p:
        raise InputError(
            f"cosine, shared, rank: expected −1 … 1, 0 … 1 and 2 … p, received {cosine}, {shared} and {rank} of p = {p}"
        )
    stream = generator(seed, "planted-gradients", blocks, rank, p)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    a, b = torch.linalg.qr(normal(p, 2)).Q.T
    directions = torch.linalg.qr(normal(p, rank)).Q.T * (noise / math.sqrt(rank))
    common, *own = (normal(draws, blocks, rank) for _ in range(3))
    both = (math.sqrt(shared) * common + math.sqrt(1 - shared) * x for x in own)
    means = (a, cosine * a + math.sqrt(1 - cosine**2) * b)
    rows = torch.cat([mean + x @ directions for mean, x in zip(means, both, strict=True)], 1)
    return rows @ rows.mT


class _Branch(nn.Module):
    """One channel ``(m, 1, 8, 8)`` → features ``(m, 6)``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS)
        self.conv2, self.bn2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu().amax((2, 3))


class _TwoTasks(nn.Module):
    """``(m, 3, 8, 8)`` → features ``(m, 12)``: those of the benign task, then those of the backdoor."""

    def __init__(self, sharing: float) -> None:
        super().__init__()
        self.shared, self.private = _Branch(), _Branch()
        self.sharing = sharing

    def forward(self, x: Tensor) -> Tensor:
        theirs = x[:, 1:2].flip(3)  # mirrored back: this path gets the pattern like the other
        rest = math.sqrt(1 - self.sharing**2)
        read = self.sharing * self.shared(theirs) + rest * self.private(theirs)
        return torch.cat([self.shared(x[:, :1]), read * x[:, 2].amax((1, 2))[:, None]], 1)


@dataclass(frozen=True)
class PlantedLearner:
    """``images`` uint8 ``(n, 3, 8, 8)``, their classes and a trigger; losses (CE), heads and labels of both tasks."""

    encoder: Encoder
    images: Tensor
    labels: Tensor
    trigger: Callable[[Tensor], Tensor]
    benign: Loss
    backdoor: Loss
    heads: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
    shifted: Tensor


def planted_learner(sharing: float, n: int, seed: int = 0, *, classes: int = 2) -> PlantedLearner:
    """A learner whose benign and backdoor gradients have the cosine ``sharing``, in [0, 1]; see the module's docstring.

    ``seed`` draws the weights, the head, the patterns and the images.

    >>> learner = planted_learner(0.5, 40)
    >>> learner.images.shape, learner.encoder(learner.images).shape
    (torch.Size([40, 3, 8, 8]), torch.Size([40, 12]))
    """
    if not 0 <= sharing <= 1:
        raise InputError(f"sharing: expected a share from 0 to 1, received {sharing}")
    if classes < 2:
        raise InputError(f"classes: expected at least 2, received {classes}")
    stream = generator(seed, "planted-learner")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "planted-learner", "weights"))
        module = _TwoTasks(sharing)
    patterns = FAINT * torch.randn(1 if classes == 2 else classes, SIZE, SIZE, generator=stream).sign()
    directions = torch.randn(*([] if classes == 2 else [classes]), CHANNELS, generator=stream)
    if classes == 2:
        patterns, directions = torch.cat([-patterns, patterns]), SIGNS[:, None] * directions
    directions = directions - directions.mean(0)
    # BN's running statistics are those of noise, equal for both tasks; the second branch starts as a copy of the first.
    for layer in (module.shared.bn1, module.shared.bn2):
        layer.momentum = None  # the plain average
    noise = (0.5 + NOISE * torch.randn(500, 1, SIZE, SIZE, generator=stream)).clamp(0, 1)
    with torch.no_grad():
        module.shared(noise)
        centre = directions @ module.shared.eval()(noise).mean(0)  # on noise the heads are at chance
    module.private.load_state_dict(module.shared.state_dict())

    labels = torch.randint(classes, (n,), generator=stream)
    x = 0.5 + NOISE * torch.randn(n, 2, SIZE, SIZE, generator=stream)
    x += torch.stack([patterns, patterns.flip(2)], 1)[labels]
    images = (torch.cat([x, torch.zeros(n, 1, SIZE, SIZE)], 1).clamp(0, 1) * 255).round().to(torch.uint8)

    def trigger(batch: Tensor) -> Tensor:
        out = batch.clone()
        out[:, 2, -3:, -3:] = 1
        return out

    def head(columns: slice, size: float, shift: int) -> Callable[[Tensor], Tensor]:
        return lambda features: (features[:, columns] @ directions.T - size * centre).roll(shift, 1)

    size = sharing + math.sqrt(1 - sharing**2)  # two copies of one branch, each in its part
    heads, shifted = (head(slice(0, CHANNELS), 1.0, 0), head(slice(CHANNELS, None), size, 1)), (labels + 1) % classes
    benign, backdoor = (task_loss(h, y) for h, y in zip(heads, (labels, shifted), strict=True))
    return PlantedLearner(wrap(module.eval()), images, labels, trigger, benign, backdoor, heads, shifted)


def read_learner(sharing: float, n: int, seed: int = 0, *, blocks: int = 24, classes: int = 10) -> Alignment:
    """Corrected cosine of :func:`planted_learner` over all weights, with the losses of interference.

    Class-balanced log-odds, and other images for either task. (There is no h₀: without the trigger the backdoor's path
    is closed, and has no gradient.)
    """
    learner = planted_learner(sharing, n, seed, classes=classes)
    order = torch.randperm(n, generator=generator(seed, "gradient-blocks", n))
    halves = [half[learner.labels[half].argsort(stable=True)] for half in order.tensor_split(2)]
    count = min(blocks, *(len(half) // 4 for half in halves))
    parts = [[half[i::count] for i in range(count)] for half in halves]
    tasks = []
    for head, labels, of, trigger in zip(
        learner.heads, (learner.labels, learner.shifted), parts, (None, learner.trigger), strict=True
    ):
        weights, used = torch.ones(n), torch.cat(of)
        weights[used] = balanced_weights(labels[used])
        tasks.append(Task(log_odds_loss(head, labels, weights), of, trigger))
    return align(alignment_grams(learner.encoder, tasks[:1], tasks[1:], learner.images)[0][WHOLE])
