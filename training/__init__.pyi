from .arms import ARMS, Arm
from .augment import Augment
from .data import ImageSet, load_images
from .experiment import Experiment, prepare
from .fit import fit
from .poison import PoisonPlan, make_plan
from .recipe import Recipe, preset_names, read_recipe

__all__ = [
    "ARMS",
    "Arm",
    "Augment",
    "Experiment",
    "ImageSet",
    "PoisonPlan",
    "Recipe",
    "fit",
    "load_images",
    "make_plan",
    "prepare",
    "preset_names",
    "read_recipe",
]
