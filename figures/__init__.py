"""Publication figures: data frames and arrays in, matplotlib ``Figure`` out.

Nothing here imports the rest of the project or touches pyplot's state. Every number drawn comes from the frame.
``labels`` maps names of measures, references, subsets and layers to words. A name without a label is shown with spaces.

>>> import pandas as pd
>>> from intertwine.figures import ONE_COLUMN, readings
>>> rows = pd.DataFrame(
...     {
...         "run": ["a", "a", "b"],
...         "arm": ["simclr-clean", "simclr-clean", "supervised-dirty"],
...         "seed": 0,
...         "layer": "features",
...         "subset": "triggered",
...         "measure": "neighbour_mixing",
...         "reference": ["", "benign", ""],
...         "value": [0.40, 0.05, 0.02],
...         "ci_low": [0.33, 0.02, 0.00],
...         "ci_high": [0.47, 0.08, 0.05],
...         "status": ["ok", "ok", "too_few_hits"],
...     }
... )
>>> figure = readings(rows, measures=["neighbour_mixing"], width=ONE_COLUMN)
>>> [axes.get_title(loc="left") for axes in figure.axes]
['neighbour mixing']

``save(figure, "out/readings")`` writes ``out/readings.pdf`` and ``out/readings.png``, the same bytes every time.
"""

from .alignment import alignment
from .arrows import arrows
from .calibration import calibration
from .canvas import save
from .confusion import confusion
from .defence_map import defence_map
from .dose_response import dose_response
from .dynamics import dynamics
from .embeddings import embeddings
from .encoder_pair import layer_similarity, spectra
from .forest import forest
from .forgetting import forgetting
from .geometry import geometry
from .interpolation import interpolation
from .one_encoder import image_map, image_maps, reading_strips
from .readings import readings
from .roc import roc
from .style import ARM_STYLES, ONE_COLUMN, TWO_COLUMN, ArmStyle, arm_styles, style
from .sweep import sweep
from .training import alignment_map
from .transplants import transplants
from .triggers import gallery
from .two_factors import two_factors

__all__ = [
    "ARM_STYLES",
    "ONE_COLUMN",
    "TWO_COLUMN",
    "ArmStyle",
    "alignment",
    "alignment_map",
    "arm_styles",
    "arrows",
    "calibration",
    "confusion",
    "defence_map",
    "dose_response",
    "dynamics",
    "embeddings",
    "forest",
    "forgetting",
    "gallery",
    "geometry",
    "image_map",
    "image_maps",
    "interpolation",
    "layer_similarity",
    "reading_strips",
    "readings",
    "roc",
    "save",
    "spectra",
    "style",
    "sweep",
    "transplants",
    "two_factors",
]
