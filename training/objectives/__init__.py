"""Ways of learning: modules with a head; features of the views and labels in, :class:`Loss` out. One a file.

BYOL and MoCo also hold ``slow``, a slow copy of the encoder and their projector: its encoder's features of the views
are their third argument, and ``follow`` moves it after each step.
"""

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
