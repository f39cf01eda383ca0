"""Several processes that train one encoder, started by ``torchrun``.

Every process has the whole data set, draws the same random numbers for the whole batch and computes the features of its
slice. Features are gathered with their gradients, and each process computes the loss of the whole batch. Contrastive
negatives, Barlow's correlations and the heads' BatchNorm then include every image, and objectives need not know the
number of processes. The heads are small relative to the encoder, so that repeating them costs little.
"""

import os
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..representations.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["gathered", "join", "rank", "synchronised", "world_size"]


def world_size() -> int:
    """The number of processes: torchrun's ``WORLD_SIZE``, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """The number of this process. Process 0 writes the files."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def join(device: torch.device) -> "Fabric | None":
    """Connect to the other processes: gloo on CPUs, NCCL on CUDA with one device a process. None for one process."""
    if world_size() == 1:
        return None
    from lightning_fabric import Fabric  # slow to import
    from lightning_fabric.plugins.environments import TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    local = int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda" and local > torch.cuda.device_count():
        raise InputError(
            f"device: expected a CUDA device for each of the {local} processes of this machine, received "
            f"{torch.cuda.device_count()}"
        )
    # EncoderWithObjective sets the precision: Fabric would round the images, and a faint trigger, to bfloat16.
    # Each process has its own buffers; those of the first are saved.
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)
    fabric = Fabric(accelerator=device.type, devices=local, num_nodes=world_size() // local, strategy=strategy)
    fabric.launch()
    return fabric


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, dim: int) -> Tensor:
        context.dim = dim
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # Every process has the gradient of the same loss and needs its own slice only. DDP averages over the processes,
        # but slices must be summed.
        own = gradients[0].chunk(dist.get_world_size(), context.dim)[dist.get_rank()]
        return own * dist.get_world_size(), None


class _Mean(torch.autograd.Function):
    """Mean over the processes; the backward pass averages the gradients too."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()


def gathered(x: Tensor, dim: int) -> Tensor:
    """The slices of all processes side by side along ``dim``, by rank; gradients flow to each process's own."""
    return _Gather.apply(x, dim) if world_size() > 1 else x


class _SyncBatchNorm(_BatchNorm):
    """BatchNorm with the moments of all processes' images, on any device; PyTorch's own is for CUDA only."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float()  # moments in bfloat16 would be rounded
        dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        mean = _Mean.apply(x.mean(dims))  # every process has as many images
        centred = x - mean.view(shape)
        variance = _Mean.apply(centred.square().mean(dims))
        with torch.no_grad():
            assert self.running_mean is not None  # an encoder's BatchNorm keeps them
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            n = dist.get_world_size() * x.numel() / len(mean)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / max(1, n - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight / (variance + self.eps).sqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)


def synchronised(module: nn.Module, device: torch.device) -> None:
    """Give every BatchNorm below ``module`` the moments of all processes' images, in place; names and state stay."""
    if world_size() == 1:
        return
    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            synchronised(child, device)
        elif device.type == "cuda":
            setattr(module, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
        else:
            synced = _SyncBatchNorm(child.num_features, child.eps, child.momentum)
            synced.load_state_dict(child.state_dict())
            synced.weight.requires_grad_(child.weight.requires_grad)
            synced.bias.requires_grad_(child.bias.requires_grad)
            setattr(module, name, synced.train(child.training))
