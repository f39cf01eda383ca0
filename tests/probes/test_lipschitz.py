"""Channel bounds against singular values channel by channel, planted channels, and what the bounds do and do not
bound."""

import hashlib
import re
from math import sqrt

import pytest
import torch
import torchvision
from intertwine.probes.lipschitz import channel_lipschitz
from intertwine.representations import EncoderSpec, InputError, build_encoder
from torch import nn

from tests.factories import case, randn32


def randomise(module: nn.Module) -> nn.Module:
    """Every weight and every statistic of its own, so that a wrong pair shows."""
    for seed, m in enumerate(module.modules()):
        if isinstance(m, nn.Conv2d):
            m.weight.data = randn32(seed, *m.weight.shape)
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_var is not None
            m.running_var.copy_(0.1 + randn32(seed, m.num_features).square())
            if m.affine:
                m.weight.data = randn32(seed + 1000, m.num_features)
    return module


def by_loops(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> list[float]:
    bounds = []
    for c, kernel in enumerate(convolution.weight.detach().double()):
        matrix = kernel.reshape(kernel.shape[0], -1)
        # Of the two products with one spectrum the smaller: a 2048 × 2048 one for each channel takes many minutes.
        gram = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
        largest = float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt())
        if norm is not None:
            gamma = float(norm.weight[c].detach().double()) if norm.affine else 1.0
            largest *= abs(gamma) / sqrt(float(norm.running_var[c]) + norm.eps)
        bounds.append(largest)
    return bounds


def planted(channels: int, loud: float, *, kernel: int = 3) -> nn.Conv2d:
    """Channels of norm 1, but for the last."""
    convolution = nn.Conv2d(2, channels, kernel, bias=False)
    weight = randn32(0, *convolution.weight.shape)
    sizes = torch.linalg.matrix_norm(weight.flatten(2), ord=2)
    weight = weight / sizes.view(-1, 1, 1, 1) * (1 + 0.01 * randn32(1, channels).view(-1, 1, 1, 1))
    weight[-1] *= loud
    convolution.weight.data = weight
    return convolution


# --- what it computes


@pytest.mark.parametrize(
    "module",
    [
        build_encoder(EncoderSpec("resnet8", width=3, image_size=8)).backbone,
        build_encoder(EncoderSpec("resnet18", width=3, image_size=8)).backbone,
        torchvision.models.resnet50(width_per_group=4),
    ],
    ids=["resnet8", "resnet18", "resnet50"],
)
def test_residual_networks_by_name(module):
    """conv3 goes with bn3, and the shortcut's 0 with its 1: known from the names, not from the order."""
    randomise(module)
    known = dict(module.named_modules())
    expected = {
        name: by_loops(m, known[re.sub(r"conv(\d)$", r"bn\1", re.sub(r"downsample\.0$", "downsample.1", name))])
        for name, m in known.items()
        if isinstance(m, nn.Conv2d)
    }
    found = channel_lipschitz(module)
    assert [layer.layer for layer in found] == list(expected)
    for layer in found:
        assert layer.bounds.dtype == torch.float64
        assert layer.bounds.tolist() == pytest.approx(expected[layer.layer], rel=1e-6)


def test_what_stands_behind_the_convolution():
    for behind, norm in (
        ([nn.BatchNorm2d(6)], 0),
        ([nn.BatchNorm2d(6, affine=False)], 0),
        ([nn.BatchNorm2d(6, eps=0.5)], 0),
        ([nn.ReLU()], None),
        ([nn.BatchNorm2d(5)], None),  # of other channels: not this one's
        ([nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4)], None),
        ([], None),
    ):
        with case(behind, norm):
            convolution = nn.Conv2d(3, 6, (3, 2))
            randomise(nn.Sequential(convolution, *behind))
            found = channel_lipschitz(nn.Sequential(convolution, *behind))[0]
            expected = by_loops(convolution, None if norm is None else behind[norm])
            assert found.bounds.tolist() == pytest.approx(expected, rel=1e-6)


def test_grouped_and_pointwise_convolutions():
    module = randomise(nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 4, 1)))
    depthwise, pointwise = channel_lipschitz(module)
    assert depthwise.bounds.tolist() == pytest.approx(by_loops(module[0], None))
    # One position, so that σ_max is the length of the kernel.
    assert pointwise.bounds.tolist() == pytest.approx(module[1].weight.flatten(1).norm(dim=1).tolist())


def test_a_module_that_is_itself_a_convolution():
    convolution = nn.Conv2d(3, 2, 3)
    (found,) = channel_lipschitz(convolution)
    assert found.bounds.tolist() == pytest.approx(by_loops(convolution, None))


# --- what the number bounds


@pytest.mark.parametrize("shape", [(1, 3, 3), (4, 3, 3), (3, 5, 1), (6, 1, 1)])
def test_times_the_root_of_the_kernels_size_it_bounds_the_gain_of_a_channel(shape):
    """‖W_c * x‖ ≤ √(k_h·k_w)·σ_max(W_c)·‖x‖, with the gain of a circular convolution from its transform. Not without
    the
    root: CLP's number bounds the gain on one patch."""
    convolution = nn.Conv2d(shape[0], 5, shape[1:], bias=False)
    convolution.weight.data = randn32(3, *convolution.weight.shape).abs()
    transform = torch.fft.fft2(convolution.weight.detach().double(), s=(16, 16))
    gains = transform.abs().square().sum(1).sqrt().flatten(1).amax(1)
    bounds = channel_lipschitz(convolution)[0].bounds
    root = sqrt(shape[1] * shape[2])
    assert (gains <= root * bounds * (1 + 1e-9)).all()
    assert (gains > bounds * (1 + 1e-9)).all() == (root > 1)


def test_weight_and_normalisation_share_one_scale():
    """In evaluation mode a kernel ten times as large behind a ten times smaller γ is the same channel."""
    module = randomise(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)))
    before = channel_lipschitz(module)[0].bounds
    module[0].weight.data *= 10
    module[1].weight.data /= -10
    torch.testing.assert_close(channel_lipschitz(module)[0].bounds, before, rtol=1e-6, atol=0)


# --- flags


@pytest.mark.parametrize(("loud", "flagged"), [(1.0, []), (10.0, [31]), (1e6, [31])])
def test_a_planted_channel_is_flagged(loud, flagged):
    found = channel_lipschitz(planted(32, loud))[0]
    assert found.flagged.dtype == torch.bool
    assert found.flagged.nonzero().flatten().tolist() == flagged


def test_flags_are_each_layers_own():
    quiet, noisy = planted(32, 10.0), planted(32, 10.0)
    quiet.weight.data *= 1e-3
    assert [layer.flagged.sum().item() for layer in channel_lipschitz(nn.ModuleList([quiet, noisy]))] == [1, 1]


def test_u_sets_the_limit():
    flags = [channel_lipschitz(planted(32, 1.0), u=u)[0].flagged.sum().item() for u in (0.1, 1.0, 6.0)]
    assert flags[0] > flags[1] > flags[2] == 0


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 10])
def test_a_narrow_layer_can_flag_nothing(channels):
    """The farthest of n values lies (n − 1)/√n sds from their mean: beyond 3 only for n > 10."""
    assert not channel_lipschitz(planted(channels, 1e6))[0].flagged.any()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_channels_are_never_flagged(value):
    convolution = nn.Conv2d(3, 40, 3)
    convolution.weight.data.fill_(value)
    assert not channel_lipschitz(convolution, u=0.01)[0].flagged.any()


# --- what it leaves behind, and bad input


def test_nothing_is_changed():
    module = build_encoder(EncoderSpec("resnet8", width=3, image_size=8)).backbone.train()
    module.bn1.eval()
    module.conv1.weight.requires_grad_(False)

    def state() -> str:
        digest = hashlib.sha256()
        for name, value in module.state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
        for p in module.parameters():
            digest.update(f"{p.requires_grad} {p.grad is None}".encode())
        for m in module.modules():
            digest.update(f"{m.training} {len(m._forward_hooks)} {len(m._forward_pre_hooks)}".encode())
        return digest.hexdigest()

    before, stream = state(), torch.get_rng_state()
    found = channel_lipschitz(module)
    assert state() == before
    assert torch.equal(stream, torch.get_rng_state())
    assert not any(layer.bounds.requires_grad for layer in found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    convolution = planted(32, 10.0).to(dtype)
    found = channel_lipschitz(convolution)[0]
    assert found.bounds.tolist() == pytest.approx(by_loops(convolution, None))


def test_a_module_without_convolutions():
    for module in (nn.Linear(3, 2), nn.Sequential(nn.Conv1d(3, 2, 1)), nn.Identity()):
        with case(module), pytest.raises(InputError, match="module: expected at least one Conv2d, received"):
            channel_lipschitz(module)


def test_bad_limits():
    for u in (0.0, -1.0, float("nan")):
        with case(u), pytest.raises(InputError, match="u: expected a positive number"):
            channel_lipschitz(planted(4, 1.0), u=u)


def test_a_pre_activation_block_begins_with_a_normalisation_of_its_own():
    """Between the last convolution of one block and the first normalisation of the next stands the sum."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)
            self.bn2, self.conv2 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)

    module = randomise(nn.Sequential(Block(), Block()))
    expected = [
        by_loops(block.get_submodule(conv), block.bn2 if conv == "conv1" else None)
        for block in module
        for conv in ("conv1", "conv2")
    ]
    for layer, bounds in zip(channel_lipschitz(module), expected, strict=True):
        assert layer.bounds.tolist() == pytest.approx(bounds, rel=1e-6)


def test_weights_that_are_not_finite_and_statistics_that_are_not_kept():
    convolution = planted(4, 1.0)
    with pytest.raises(InputError, match="running statistics"):
        channel_lipschitz(nn.Sequential(convolution, nn.BatchNorm2d(4, track_running_stats=False)))
    convolution.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="finite weights, received NaN or infinity in 0"):
        channel_lipschitz(nn.Sequential(convolution))
