"""Ways of learning: modules with a head; features of the views and labels in, :class:`Loss` out. One a file."""

from ._loss import Loss
from .simclr import SimCLR, nt_xent
from .supcon import SupCon, supcon_loss
from .supervised import Supervised

__all__ = ["Loss", "SimCLR", "SupCon", "Supervised", "nt_xent", "supcon_loss"]
