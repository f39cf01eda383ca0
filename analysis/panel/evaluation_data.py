"""Evaluation data: the images, labels, trigger and bank of one measurement."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...representations.checks import check_range
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.augment import Augment
from ...training.triggers import Trigger
from .options import PanelOptions

__all__ = ["EvaluationData", "Transform", "evaluation_data"]

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EvaluationData:
    """The data on which all encoders of a panel are measured.

    test, labels: held-out images, uint8 ``(n, 3, H, W)``, and their classes, int64 ``(n,)``. Rates use all of them.
    drawn: int64, the rows of ``test`` that all other readings use.
    bank, bank_labels: clean labelled images for the evaluators, none of them in ``test``.
    trigger: float batch in [0, 1] → triggered batch. target: the class that it should lead to.
    augment: augmentation in the confusion ratio.
    evaluator: name of the one that decides hits. seed: drives every random draw.
    poisons: training images with the trigger, float ``(p, 3, H, W)``. poison_twins: clean training images of the class
    that they are bound to, uint8 ``(q, 3, H, W)``. Both are ``None`` where no training image was poisoned.
    """

    test: Tensor
    labels: Tensor
    drawn: Tensor
    bank: Tensor
    bank_labels: Tensor
    trigger: Trigger | Transform
    target: int
    augment: Augment
    evaluator: str
    seed: int
    poisons: Tensor | None = None
    poison_twins: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """The images of all readings except the rates."""
        return self.test[self.drawn]

    @property
    def classes(self) -> Tensor:
        """Labels of :attr:`images`."""
        return self.labels[self.drawn]

    @property
    def others(self) -> Tensor:
        """Which of :attr:`images` are not of the target class."""
        return self.classes != self.target


def evaluation_data(
    images: Tensor,
    labels: Tensor,
    trigger: Trigger | Transform,
    target: int,
    options: PanelOptions,
    *,
    bank: tuple[Tensor, Tensor] | None = None,
    augment: Augment | None = None,
    poisons: tuple[Tensor, Tensor] | None = None,
) -> EvaluationData:
    """Check images and labels, and draw those that the options ask for.

    Args:
        bank: images and labels; by default half of ``images``, drawn by the options' seed.
        poisons: poisoned training images, with the trigger, and their clean twins; at most ``options.images`` of each
            are used.

    Raises:
        InputError: wrong shapes or types; a target that is not among the labels, or the only one; a trigger whose
            result is no batch of the same shape in [0, 1].
    """
    seed = options.seed
    if bank is None:
        order = torch.randperm(len(images), generator=generator(seed, "bank"))
        mine, rest = order.tensor_split(2)
        bank, images, labels = (images[mine], labels[mine]), images[rest], labels[rest]
    _check("images", images, labels, target)
    _check("bank", *bank, target)
    _check_trigger(trigger, images[:2])
    chosen = _draw(len(bank[0]), options.bank, seed, "bank-images")
    drawn = _draw(len(images), options.images, seed, "held-out")
    used_bank = bank if len(chosen) == len(bank[0]) else (bank[0][chosen], bank[1][chosen])
    sets = poisons or (None, None)
    some = [x if x is None else x[_draw(len(x), options.images, seed, "poisons")] for x in sets]
    return EvaluationData(
        images, labels, drawn, *used_bank, trigger, target, augment or Augment(), options.evaluator, seed, *some
    )


def _draw(n: int, most: int, seed: int, purpose: str) -> Tensor:
    if n <= most:
        return torch.arange(n)
    return torch.randperm(n, generator=generator(seed, purpose))[:most].sort().values


def _check(name: str, images: Tensor, labels: Tensor, target: int) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise InputError(f"{name}: expected uint8 (n, 3, H, W), received {images.dtype} {tuple(images.shape)}")
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        raise InputError(f"labels: expected int64 ({len(images)},), received {labels.dtype} {tuple(labels.shape)}")
    present = labels.unique()
    if target not in present or len(present) < 2:
        of = "test" if name == "images" else name
        raise InputError(
            f"target: expected class {target} and at least one other among the {of} labels, received classes "
            f"{present.tolist()[:20]}"
        )


def _check_trigger(trigger: Transform, images: Tensor) -> None:
    given = images.float() / 255
    found = trigger(given)
    if not isinstance(found, Tensor) or found.shape != given.shape or not found.is_floating_point():
        what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"trigger: expected a float batch {tuple(given.shape)} in [0, 1], received {what}")
    check_range("trigger", found)
