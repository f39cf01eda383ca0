"""Checkpoints: folders that are written whole, verified when they are read and never unpickled; and foreign ones.

For example::

    from intertwine.checkpoints import load_encoder
    encoder = load_encoder("runs/demo/simclr-clean/seed0")
    encoder = load_encoder("moco_v2_800ep.pth.tar")
    encoder = load_encoder("vit.safetensors", arch="timm:vit_small_patch16_224")
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
