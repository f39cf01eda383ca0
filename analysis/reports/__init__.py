"""Reports and figures, from tables alone."""

import lazy_loader

# Nothing is imported before it is used: a table on a terminal costs no figures. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
