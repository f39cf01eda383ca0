"""An encoder without a recipe of ours, with the data, trigger and target that it is measured on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...representations.encoders import Encoder
from ...training.data import ImageSet
from .description import described, described_html
from .evaluation_images import Transform

if TYPE_CHECKING:
    from .run import Run

__all__ = ["ForeignRun"]


@dataclass(frozen=True, repr=False, eq=False)
class ForeignRun:
    """A foreign encoder, or a run on other images, with another trigger or target.

    image_size: side of its images in pixels. data: held-out images. bank: clean training images, for evaluators.
    trigger: float batch in [0, 1] → triggered batch. target: the class that it should lead to. All four are ``None``
    where they were not given: such an encoder can be compared with others, and not measured. twin: its benign twin.
    """

    name: str
    encoder: Encoder
    image_size: int
    data: ImageSet | None = None
    bank: ImageSet | None = None
    trigger: Transform | None = None
    target: int | None = None
    twin: "ForeignRun | Run | None" = None

    arm = "foreign"
    seed = 0
    note = ""

    def __repr__(self) -> str:
        return described(self)

    def _repr_html_(self) -> str:
        return described_html(self)
