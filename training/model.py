"""Encoder and objective as one module: images of the views → loss of the whole batch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..representations.encoders import Encoder
from ..representations.errors import InputError
from ..representations.seeds import derive_seed
from .arms import ARMS
from .attacks import BadEncoder
from .objectives import BYOL, BarlowTwins, HasSlowCopy, Loss, MoCo, SimCLR, SimSiam, SupCon, Supervised
from .ranks import gathered
from .recipe import Recipe

__all__ = ["PRECISIONS", "EncoderWithObjective", "build_objective"]

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_objective(recipe: Recipe, learner: str, encoder: Encoder, classes: int) -> nn.Module:
    """The objective of a learner (see :class:`.poison.Arm`), with new random heads on the encoder's output."""
    sizes = encoder.dim, recipe.hidden, recipe.projection
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "head-init"))
        match learner:
            case "supervised":
                return Supervised(encoder.dim, recipe.hidden, classes)
            case "supcon":
                return SupCon(*sizes, recipe.temperature)
            case "simclr":
                return SimCLR(*sizes, recipe.temperature, norm=recipe.head_norm)
            case "byol":
                return BYOL(encoder, *sizes, recipe.ema)
            case "simsiam":
                return SimSiam(*sizes)
            case "moco":
                return MoCo(encoder, *sizes, recipe.temperature, recipe.ema, recipe.queue)
            case "barlow":
                return BarlowTwins(*sizes, recipe.redundancy)
            case "badencoder":
                return BadEncoder(encoder)
    learners = ", ".join(dict.fromkeys(arm.learner for arm in ARMS.values()))
    raise InputError(f"learner: expected one of {learners}, received {learner!r}")


class EncoderWithObjective(nn.Module):
    """The module that is compiled, autocast and synchronised between processes.

    The loss is that of the whole batch, of which this process computes a part of the features (see :mod:`.ranks`).

    Args:
        compiled: run the encoder through ``torch.compile``.
        layout: memory format of images and weights.
    """

    def __init__(
        self, encoder: Encoder, objective: nn.Module, precision: str, layout: torch.memory_format, compiled: bool
    ) -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.precision, self.layout = PRECISIONS[precision], layout
        self.slow_encoder = objective.slow_encoder() if isinstance(objective, HasSlowCopy) else None
        # Beside the encoder, not in its place: saving and capturing need the encoder's names and hooks.
        run: Callable[[Tensor], Tensor] = torch.compile(encoder) if compiled else encoder
        self.run = (run,)  # in a tuple, so that it is not registered as a second submodule

    def forward(self, images: Tensor, labels: Tensor, views: int) -> Loss:
        """images: float ``(views · n, 3, H, W)``, this process's part; labels: int64 ``(N,)`` of the whole batch."""
        with torch.autocast(images.device.type, self.precision, enabled=self.precision != torch.float32):
            images = images.to(memory_format=self.layout)
            features = [self._fast(images)]
            if self.slow_encoder is not None:
                with torch.no_grad():
                    features.append(self.slow_encoder(images))
            return self.objective(*self._whole(features, labels, views))

    def _fast(self, images: Tensor) -> Tensor:
        try:
            return self.run[0](images)
        except torch._dynamo.exc.BackendCompilerFailed as error:  # for example without a C++ compiler
            reason = str(error).splitlines()[0]
            raise InputError(f"compile: expected torch.compile to work on this machine, received {reason}") from None

    def _whole(self, features: list[Tensor], labels: Tensor, views: int) -> list[Tensor]:
        first, *slow = (gathered(x.view(views, len(x) // views, -1), 1) for x in features)
        return [first, labels, *slow]
