"""The Lipschitz bound of single channels: a sign of backdoor channels that needs no data."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..representations.errors import InputError

__all__ = ["ChannelLipschitz", "channel_lipschitz"]


@dataclass(frozen=True)
class ChannelLipschitz:
    """One convolution. ``bounds``: one a channel ``(channels,)``. ``flagged``: bool, those above mean + u·sd."""

    layer: str
    bounds: Tensor
    flagged: Tensor


def channel_lipschitz(module: nn.Module, *, u: float = 3.0) -> list[ChannelLipschitz]:
    """The channel Lipschitz bound of every convolution: ``σ_max(W_c)·|γ_c|/√(var_c + ε)``.

    As in channel Lipschitz pruning (CLP: Zheng et al., ECCV 2022). W_c is the kernel of output channel c as a matrix
    (inputs × positions). The bound is for one patch. On images a channel can amplify up to √(k_h·k_w) times as much (a
    3×3 kernel of ones: 3 here, 9 on a constant image). This factor is equal for all channels of a layer and changes no
    flag. The batch normalisation of a convolution is the next registered one in the same parent module, if it has as
    many channels. Without one the second factor is 1. No forward pass is run. sd is the sample's (n − 1), as in their
    code, which has no ε.

    At u = 3 a layer of at most 10 channels flags none: of n values, none is more than (n − 1)/√n sds from the mean.

    Args:
        module: a backbone. u: channels above mean + u·sd are flagged; the paper prunes them.

    Returns:
        One entry a convolution, in the order of registration. Where all bounds of a layer are equal, none is flagged.
        Scaling a layer's weights does not change the flags if a normalisation follows in training; here it does.

    Raises:
        InputError: the module has no convolution, a normalisation that keeps no running variance, or a weight that is
            not finite.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False))
    >>> _ = net[0].weight.data.copy_(torch.tensor([3.0, -4.0]).view(2, 1, 1, 1))
    >>> channel_lipschitz(net)[0].bounds.tolist()
    [3.0, 4.0]
    """
    if not u > 0:
        raise InputError(f"u: expected a positive number of standard deviations, received {u}")
    found = []
    for name, convolution, norm in _pairs(module):
        weight = convolution.weight.detach().double()
        if not bool(weight.isfinite().all()):
            raise InputError(f"module: expected finite weights, received NaN or infinity in {name or 'it'}")
        bounds = torch.linalg.matrix_norm(weight.flatten(2), ord=2)
        if norm is not None:
            if norm.running_var is None:
                raise InputError(f"module: expected running statistics behind {name}, received none")
            factor = (norm.running_var.double() + norm.eps).rsqrt()
            if norm.weight is not None:
                factor = factor * norm.weight.detach().double().abs()
            bounds = bounds * factor
        limit = bounds.mean() + u * (bounds.std() if len(bounds) > 1 else 0.0)
        found.append(ChannelLipschitz(name, bounds.cpu(), (bounds > limit).cpu()))
    if not found:
        raise InputError(f"module: expected at least one Conv2d, received {type(module).__name__} without any")
    return found


def _pairs(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Each convolution with the normalisation after it.

    Our ResNets and torchvision's register conv1, bn1, conv2, bn2, with bn1's relu between them. The next convolution or
    normalisation in that order decides.
    """
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for i, (name, layer) in enumerate(layers):
        if not isinstance(layer, nn.Conv2d):
            continue
        # In the same parent: a pre-activation block begins with a normalisation of its own.
        place, following = layers[i + 1] if i + 1 < len(layers) else ("", None)
        fits = isinstance(following, nn.BatchNorm2d) and following.num_features == layer.out_channels
        fits = fits and place.rpartition(".")[0] == name.rpartition(".")[0]
        yield name, layer, following if fits else None  # type: ignore[misc]
