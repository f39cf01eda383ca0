"""Backdoored encoders in paired arms: one poison plan, different learners.

For example::

    from intertwine.training import fit, read_recipe
    fit(read_recipe("digits-demo", arm="supervised-clean"), "runs/clean-label")
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
