"""Encoders, what they represent, and how representations compare.

>>> import torch
>>> from intertwine.representations import EncoderSpec, build_encoder, capture
>>> encoder = build_encoder(EncoderSpec("resnet8", width=8, image_size=16))
>>> images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
>>> {layer: tuple(x.shape) for layer, x in capture(encoder, images, layers=["layer1", "features"]).items()}
{'layer1': (4, 16), 'features': (4, 64)}

More in its subpackages: ``similarity`` (of two representations) and ``geometry`` (of one).
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
