"""The panel: all readings of one encoder beside their references.

from intertwine.analysis.panel import panel
rows = panel(encoder, images, labels, trigger, target=0, bank=(train_images, train_labels), benign=benign_encoder)
"""

import lazy_loader

# Nothing is imported before it is used: the options cost no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
