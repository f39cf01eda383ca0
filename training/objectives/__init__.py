"""Objectives: modules with a head that map features of the views, and labels, to a :class:`Loss`. One a file.

Some have more: a projector, or a slow copy of the encoder. These abilities are protocols: :class:`HasProjector`,
:class:`HasSlowCopy`, :class:`Follows`, :class:`HasLargeState`.
"""

from ._abilities import Follows, HasLargeState, HasProjector, HasSlowCopy
from ._loss import Loss
from .barlow import BarlowTwins, barlow_loss
from .byol import BYOL, regression_loss
from .moco import MoCo, info_nce
from .simclr import SimCLR, nt_xent
from .simsiam import SimSiam
from .supcon import SupCon, supcon_loss
from .supervised import Supervised

__all__ = [
    "BYOL",
    "BarlowTwins",
    "Follows",
    "HasLargeState",
    "HasProjector",
    "HasSlowCopy",
    "Loss",
    "MoCo",
    "SimCLR",
    "SimSiam",
    "SupCon",
    "Supervised",
    "barlow_loss",
    "info_nce",
    "nt_xent",
    "regression_loss",
    "supcon_loss",
]
