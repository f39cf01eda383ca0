"""Mechanistic analysis of backdoored image encoders: are the benign task and the backdoor learned apart?

import intertwine as it
run = it.load("zoo:digits-simclr-sig-clean")
print(it.measure(run, readings="cheap").summary())
"""

import importlib.metadata

import lazy_loader

__version__ = importlib.metadata.version(__name__)

# Nothing is imported before it is used: this costs no torch. The names are those of __init__.pyi.
__getattr__, _offered, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)
