"""The data of a recipe: images, poison plan, triggers, and the labels that the arm learns."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..representations.errors import InputError
from .arms import ARMS, Arm
from .data import ImageSet, load_images
from .poison import PoisonPlan, make_plan, poisoned
from .recipe import Recipe
from .triggers import Trigger

__all__ = ["Experiment", "prepare"]


@dataclass(frozen=True)
class Experiment:
    """``train`` and ``test`` are clean. ``mask``: bool ``(N,)``, the training images that get the trigger. ``labels``:
    int64 ``(N,)``, what the arm learns."""

    recipe: Recipe
    train: ImageSet
    test: ImageSet
    plan: PoisonPlan
    mask: Tensor
    labels: Tensor

    @property
    def arm(self) -> Arm:
        return ARMS[self.recipe.arm]

    @property
    def train_trigger(self) -> Trigger:
        return self.recipe.make_trigger()

    @property
    def test_trigger(self) -> Trigger:
        return self.recipe.make_trigger(test=True)


def prepare(recipe: Recipe, *, data_root: Path | str | None = None, skip_unreadable: bool = False) -> Experiment:
    """Load the data and draw the plan. The result is a function of the recipe and the data's bytes.

    Clean arms have a plan too: it changes no image, but their readings use its trigger and target.
    """
    train, test = load_images(
        recipe.data,
        image_size=recipe.image_size,
        n_train=recipe.n_train,
        n_test=recipe.n_test,
        squeeze=recipe.squeeze,
        seed=recipe.seed,
        data_root=data_root,
        skip_unreadable=skip_unreadable,
    )
    plan = make_plan(
        train,
        target=recipe.target,
        fraction=recipe.poison_fraction,
        base=recipe.poison_base,
        trigger=repr(recipe.make_trigger()),
        seed=recipe.seed,
        first=recipe.poison_choice == "first",
    )
    of_target = test.labels == recipe.target
    if not of_target.any() or of_target.all():
        raise InputError(
            f"data: expected test images of the target class {recipe.target} and of another, received "
            f"{int(of_target.sum())} and {int((~of_target).sum())}"
        )
    mask, labels = poisoned(train, plan, ARMS[recipe.arm])
    return Experiment(recipe, train, test, plan, mask, labels)
