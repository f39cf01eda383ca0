"""Readings beside their references, claims with their verdicts, defences, studies and the commands.

For example::

    from intertwine.analysis import load, measure
    print(measure(load("zoo:digits-simclr-sig-clean"), readings="cheap").summary())
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
