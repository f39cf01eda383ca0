"""Between two encoders of one architecture: the straight path of weights, and transplants of layers.

Take a clean and a poisoned encoder with the same initial weights. Along the path ACC stays high while ASR rises if the
backdoor is an addition to the benign solution. ACC falls between the ends if it is a different solution. Transplants
show which layers carry the backdoor. An encoder combined from two has no valid BN statistics: reset them at every
point, also at the ends, or the statistics cause a barrier (Jordan et al., "REPAIR", ICLR 2023).
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torchvision.models.resnet import BasicBlock

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .gradients import layer_of

__all__ = [
    *("barrier", "displaced", "half_point", "interpolated", "moved_at_random", "permuted", "reset_statistics"),
    *("transplanted", "with_task_vectors"),
]


def interpolated(a: Encoder, b: Encoder, alpha: float) -> Encoder:
    """A copy of ``a`` with the weights (1 − α)·a + α·b, α in [0, 1]; BN's running statistics likewise."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha: expected a number in [0, 1], received {alpha}")
    theirs = _same_shape(a, b)
    return _changed(a, lambda name, own: torch.lerp(own, theirs[name].to(own), alpha))


def with_task_vectors(start: Encoder, vectors: Sequence[tuple[Encoder, Encoder, float]]) -> Encoder:
    """A copy of ``start`` with θ + Σ α·(θ_to − θ_from) for each (from, to, α): task vectors (Ilharco et al., ICLR
    2023). BN's running statistics likewise."""
    parts = [(_same_shape(start, a), _same_shape(start, b), alpha) for a, b, alpha in vectors]

    def moved(name: str, own: Tensor) -> Tensor:
        return own + sum(alpha * (b[name].to(own) - a[name].to(own)) for a, b, alpha in parts)

    return _changed(start, moved)


def moved_at_random(encoder: Encoder, like: tuple[Encoder, Encoder], *, seed: int) -> Encoder:
    """Each parameter of ``encoder`` moves in a random direction by the distance between the two of ``like``."""
    ends = [dict(end.backbone.named_parameters()) for end in like]

    def moved(name: str, own: Tensor) -> Tensor:
        if name not in ends[0]:
            return own
        step = torch.randn(own.shape, generator=generator(seed, "moved", name)).to(own)
        return own + step * ((ends[1][name].to(own) - ends[0][name].to(own)).norm() / step.norm())

    return _changed(encoder, moved)


def transplanted(into: Encoder, donor: Encoder, layer: str) -> Encoder:
    """A copy of ``into`` with one layer (weights, affine maps and statistics) from ``donor``."""
    theirs, inside = _same_shape(into, donor), _inside(into, layer)
    return _changed(into, lambda name, own: theirs[name].to(own).clone() if inside(name) else own)


def displaced(encoder: Encoder, donor: Encoder, layer: str, *, seed: int) -> Encoder:
    """The control of a transplant: each parameter of the layer moves by its distance to the donor's, in a random
    direction. (Any disturbance of a layer costs ASR and ACC.)"""
    theirs, inside = _same_shape(encoder, donor), _inside(encoder, layer)
    parameters = dict(encoder.backbone.named_parameters())

    def moved(name: str, own: Tensor) -> Tensor:
        if name not in parameters or not inside(name):
            return own
        step = torch.randn(own.shape, generator=generator(seed, "displaced", name)).to(own)
        return own + step * ((theirs[name].to(own) - own).norm() / step.norm())

    return _changed(encoder, moved)


def permuted(encoder: Encoder, *, seed: int) -> Encoder:
    """The same function with other weights: the inner channels of every basic block in another order.

    The control of a path. Halfway to it, unrelated channels are averaged, so that its barrier is that of two different
    solutions (Entezari et al., ICLR 2022).

    Raises:
        InputError: the backbone has no basic blocks.
    """
    twin = copy.deepcopy(encoder)
    blocks = [(name, m) for name, m in twin.backbone.named_modules() if isinstance(m, BasicBlock)]
    if not blocks:
        raise InputError(
            f"encoder: expected a backbone of basic blocks to permute, received {type(encoder.backbone).__name__}"
        )
    with torch.no_grad():
        for name, block in blocks:
            order = torch.randperm(block.conv1.out_channels, generator=generator(seed, "permuted", name))
            order = order.to(block.conv1.weight.device)
            block.conv1.weight.copy_(block.conv1.weight[order])
            block.conv2.weight.copy_(block.conv2.weight[:, order])
            for value in block.bn1.state_dict(keep_vars=True).values():
                if value.ndim:
                    value.copy_(value[order])
    return twin


def reset_statistics(encoder: Encoder, batches: Sequence[Tensor]) -> Encoder:
    """A copy whose BN statistics are the plain average over ``batches`` of float images in [0, 1]."""
    twin = copy.deepcopy(encoder)
    update_bn(list(batches), twin, device=encoder.mean.device)
    return twin.eval()


def barrier(alphas: Sequence[float], values: Sequence[float]) -> float:
    """How far a rate falls below the straight line between its ends, in [0, 1].

    The maximum over α of (1 − α)·v(0) + α·v(1) − v(α), at least 0: the error barrier of Frankle et al. (ICML 2020), as
    in Entezari et al.

    >>> round(barrier([0, 0.5, 1], [0.9, 0.5, 0.7]), 3)
    0.3
    """
    ends = [(1 - a) * values[0] + a * values[-1] for a in alphas]
    return max(end - v for end, v in zip(ends, values, strict=True))


def half_point(alphas: Sequence[float], values: Sequence[float]) -> float:
    """The first α at which a rate is half way from v(0) to v(1), by linear interpolation; in [0, 1].

    >>> half_point([0, 0.5, 1], [0.0, 0.2, 1.0])
    0.6875
    """
    half, rises = (values[0] + values[-1]) / 2, values[-1] > values[0]
    past = [v >= half if rises else v <= half for v in values]
    i = past.index(True)
    if i == 0:  # the ends are equal
        return float(alphas[0])
    return float(alphas[i - 1] + (alphas[i] - alphas[i - 1]) * (half - values[i - 1]) / (values[i] - values[i - 1]))


def _inside(encoder: Encoder, layer: str) -> Callable[[str], bool]:
    if layer not in encoder.layers:
        raise InputError(f"layer: expected one of {', '.join(encoder.layers)}, received {layer!r}")
    return lambda name: layer_of(encoder, name.rpartition(".")[0]) == layer


def _same_shape(a: Encoder, b: Encoder) -> dict[str, Tensor]:
    """The tensors of ``b``, if they fit ``a``."""
    mine, theirs = a.backbone.state_dict(), b.backbone.state_dict()
    shapes, others = ({name: x.shape for name, x in tensors.items()} for tensors in (mine, theirs))
    differ = sorted(name for name in mine.keys() | theirs.keys() if shapes.get(name) != others.get(name))
    if differ:
        raise InputError(f"encoders: expected two of one architecture, they differ in {', '.join(differ[:3])}")
    return theirs


def _changed(encoder: Encoder, change: Callable[[str, Tensor], Tensor]) -> Encoder:
    """A copy in evaluation mode with floating tensors changed by name."""
    twin = copy.deepcopy(encoder).eval()
    state = twin.backbone.state_dict()
    with torch.no_grad():
        twin.backbone.load_state_dict({n: change(n, x) if x.is_floating_point() else x for n, x in state.items()})
    return twin
