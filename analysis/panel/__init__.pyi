from .encoder_panel import panel
from .options import PanelOptions
from .reading_sets import ReadingSet

__all__ = ["PanelOptions", "ReadingSet", "panel"]
