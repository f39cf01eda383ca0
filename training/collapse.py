"""Collapse of an encoder: all images at one point, or on one line."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import normalize

from ..representations.geometry import effective_rank

__all__ = ["collapse_signs", "collapsed"]


def collapse_signs(features: Tensor, projections: Tensor | None = None) -> dict[str, float]:
    """Signs of collapse, from features ``(n, d)``, n ≥ 2, and their projections by the objective.

    ``feature_sd``, ``projection_sd``: root mean square distance of the L2-normalised rows from their mean, in [0, 1].
    0: all rows at one point. 1: rows in all directions. (Fig. 2 of SimSiam, Chen and He, CVPR 2021, has it over √d, of
    the projections.) Projections collapse first. ``projection_sd`` is NaN without projections. ``effective_rank``: the
    number of directions that the features use; 1 on a line, NaN at one point.

    >>> import torch
    >>> signs = collapse_signs(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> round(signs["feature_sd"], 6), round(signs["effective_rank"], 6), collapsed(signs)
    (1.0, 1.0, 'its features use 1.0 directions')
    """
    x = normalize(features.double(), dim=1)
    projected = float("nan") if projections is None else _spread(normalize(projections.double(), dim=1))
    return {"feature_sd": _spread(x), "effective_rank": effective_rank(x), "projection_sd": projected}


def collapsed(signs: Mapping[str, float | None], classes: int = 3) -> str:
    """The evidence that an encoder has collapsed, in words; empty if it has not.

    It has collapsed if all features are within .02 of their mean on the unit sphere, or all projections within .1. It
    has also if the features of more than two classes are on a line. (Two tight classes always are.) ``None`` means NaN,
    as in a manifest.
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
