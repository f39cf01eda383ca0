"""Neural collapse (Papyan, Han and Donoho, PNAS 2020): how near classes are to points, and class means to a simplex."""

import torch
from torch import Tensor

from ..checks import check_features
from ..errors import InputError
from .fisher import scatter
from .subspaces import differences

__all__ = ["nc1", "nc2", "nc3"]


def nc1(x: Tensor, labels: Tensor) -> float:
    """Variability within classes relative to that between them: tr(Σ_W Σ_B⁺)/C.

    Σ_W is the mean within-class covariance and Σ_B that of the class means, with equal weights. ⁺ is the
    pseudo-inverse, which exists for n < d.

    Args:
        x: ``(n, d)``. labels: int64 ``(n,)``, at least two classes.

    Returns:
        A value in [0, ∞): 0 where every class is one point; NaN where the class means coincide. Invariant to rotation,
        scale and shift. Cost O(nd + Cd·min(C, d)).

    >>> round(nc1(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])), 6)
    0.02
    """
    means, within, _ = scatter(x, labels)
    directions, singular, real = differences(means, size=x.double().abs().max())
    if not real.any():
        return float("nan")
    # In the space of the means the pseudo-inverse is C/σ² a direction.
    spread = (within @ directions[real].T).square().mean(0)
    return float((spread / singular[real].square()).sum())


def nc2(x: Tensor, labels: Tensor) -> float:
    """Distance of the class means from an equiangular, equinorm simplex.

    The mean of two deviations. The first is the sd of the norms of μ_c − μ_G over their mean. The second is the mean
    over pairs of ``|cos(μ_c − μ_G, μ_c' − μ_G) + 1/(C − 1)|``. μ_G is the mean of the class means.

    Returns:
        A value in [0, ∞), 0 for a simplex (two classes always are one); NaN where a class mean lies at μ_G. Invariant
        to rotation, scale and shift.

    >>> nc2(torch.eye(3).repeat(2, 1), torch.tensor([0, 1, 2, 0, 1, 2])) < 1e-12
    True
    """
    means, _, _ = scatter(x, labels)
    centred = means - means.mean(0)
    norms = centred.norm(dim=1)
    if not norms.min() > 1e-14 * float(x.double().abs().max()):
        return float("nan")
    unit = centred / norms.unsqueeze(1)
    count = len(unit)
    pairs = (unit @ unit.T)[~torch.eye(count, dtype=torch.bool)]
    return float((norms.std(correction=0) / norms.mean() + (pairs + 1 / (count - 1)).abs().mean()) / 2)


def nc3(x: Tensor, labels: Tensor, weight: Tensor) -> float:
    """Distance of a classifier from the class means: ‖W/‖W‖_F − M/‖M‖_F‖_F, M the class means less their mean.

    Args:
        weight: ``(C, d)``, rows in the order of the sorted classes of ``labels``. It is the native classifier's, or a
            linear probe's where there is none; report which. Its mean row, which changes no decision, is subtracted.

    Returns:
        A value in [0, 2], 0 where they are parallel; NaN where either is 0, up to rounding. Invariant to rotation of
        both, scale of either and shift of x. Cost O(nd).

    >>> nc3(torch.eye(3).repeat(2, 1), torch.tensor([0, 1, 2, 0, 1, 2]), 5 * torch.eye(3)) < 1e-12
    True
    """
    means, _, _ = scatter(x, labels)
    weight = check_features(weight, name="weight")
    if weight.shape != means.shape:
        raise InputError(f"weight: expected (C, d) = {tuple(means.shape)}, received {tuple(weight.shape)}")
    parts = []
    for centred, rounded_as in ((means - means.mean(0), x.double()), (weight - weight.mean(0), weight)):
        if not centred.norm() > 1e-14 * rounded_as.norm():
            return float("nan")
        parts.append(centred / centred.norm())
    return float((parts[1] - parts[0]).norm())
