"""Backdoored encoders in paired arms: one poison plan, different learners.

from intertwine.training import fit, read_recipe
fit(read_recipe("digits-demo", arm="supervised-clean"), "runs/clean-label")
"""

from .augment import Augment
from .data import ImageSet, load_images
from .experiment import Experiment, prepare
from .fit import fit
from .poison import ARMS, Arm, PoisonPlan, make_plan
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
