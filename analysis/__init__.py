"""Readings beside their references, claims with their verdicts, and the commands.

from intertwine.analysis import panel
rows = panel(encoder, images, labels, trigger, target=0, bank=(train_images, train_labels), benign=clean_encoder)
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
