"""Has an encoder collapsed: are all images at one point, or along one line?"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import normalize

from ..representations.geometry import effective_rank

__all__ = ["collapse_signs", "collapsed"]


def collapse_signs(features: Tensor, projections: Tensor | None = None) -> dict[str, float]:
    """What collapse shows in, from features ``(n, d)``, n ≥ 2, and what the objective's projector makes of them.

    ``feature_sd``, ``projection_sd``: root mean square distance of the L2-normalised rows from their mean, in [0, 1]: 0
    where all lie at one point, 1 where they lie all around (SimSiam, fig. 2, has it over √d, of the projections: Chen
    and He, CVPR 2021). An objective collapses at the projections first. ``effective_rank``: directions that the
    features use; 1 along a line, NaN at one point. ``projection_sd`` is NaN without projections.

    >>> import torch
    >>> signs = collapse_signs(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> round(signs["feature_sd"], 6), round(signs["effective_rank"], 6), collapsed(signs)
    (1.0, 1.0, 'its features use 1.0 directions')
    """
    x = normalize(features.double(), dim=1)
    projected = float("nan") if projections is None else _spread(normalize(projections.double(), dim=1))
    return {"feature_sd": _spread(x), "effective_rank": effective_rank(x), "projection_sd": projected}


def collapsed(signs: Mapping[str, float | None], classes: int = 3) -> str:
    """What shows that an encoder has collapsed, in words; empty if nothing does.

    All features within a fiftieth of the sphere's radius of one point, or all projections within a tenth of it; or, of
    more than two classes, all features on a line (two tight classes lie on one). ``None`` stands for NaN, as in a
    manifest.
    """
    spread, rank, projected = (
        float("nan") if value is None else value
        for value in (signs["feature_sd"], signs["effective_rank"], signs["projection_sd"])
    )
    if spread < 0.02:
        return f"its features lie {spread:.3f} from their mean on the unit sphere"
    if classes > 2 and not rank >= 1.5:
        return f"its features use {rank:.1f} directions"
    if projected < 0.1:
        return f"its projections lie {projected:.3f} from their mean on the unit sphere"
    return ""


def _spread(x: Tensor) -> float:
    return float((x - x.mean(0)).square().sum(1).mean().sqrt())
