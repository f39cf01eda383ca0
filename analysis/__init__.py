"""Readings beside their references, claims with their verdicts, defences, studies and the commands.

from intertwine.analysis import load_run, measure_run
rows = measure_run(load_run("zoo:digits-simclr-sig-clean"), load_run("zoo:digits-simclr-sig-benign"))
"""

import lazy_loader

# Nothing is imported before it is used: an error or a recipe costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
