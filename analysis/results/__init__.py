"""The table of results: its schema, its row builder and the table of measures."""

import lazy_loader

# Nothing is imported before it is used: the schema costs no torch. The names are those of __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
