"""The training loop: one epoch of encoder, objective and optimiser."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from ..representations.capture import evaluating
from ..representations.encoders import Encoder, build_encoder
from ..representations.errors import InputError
from ..representations.seeds import generator
from .collapse import collapse_signs
from .experiment import Experiment
from .loss_rank import loss_rank_auc, rank_batch
from .model import EncoderWithObjective, build_objective
from .objectives import Follows, HasLargeState, HasProjector, HasSlowCopy
from .pairs import draw_partners
from .ranks import join, rank, synchronised, world_size
from .rates import rates
from .recipe import Recipe
from .schedule import learning_rate

__all__ = ["EVALUATED", "Training"]

RANK_DRAWS = 4
"""Number of augmentations over which an image's loss is averaged for its rank."""

LARGE = 1 << 30
"""From this number of bytes of images the next batch is fetched ahead: they may be on disk (see :mod:`.decoded`)."""

EVALUATED = ("acc", "asr", "r_acc", "feature_sd", "effective_rank", "projection_sd", "loss_rank_auc")
"""Columns of the history that are computed every ``eval_every`` epochs."""


class Training:
    """Encoder, objective and optimiser of one run. ``start``: the encoder to begin with, a random one by default."""

    def __init__(self, experiment: Experiment, device: torch.device, start: Encoder | None = None) -> None:
        recipe = self.recipe = experiment.recipe
        self.experiment = experiment
        self.fabric = join(device)
        self.device = device if self.fabric is None else self.fabric.device
        self.attacks_model = experiment.arm.learner == "badencoder"
        attack = {"epochs": recipe.attack_epochs, "lr": recipe.attack_lr} if self.attacks_model else {}
        self.schedule = recipe.replace(**attack)
        self.views = {"supervised": 1, "badencoder": 3}.get(experiment.arm.learner, 2)
        self.encoder = start or build_encoder(recipe.encoder_spec(), seed=recipe.seed)
        classes = len(experiment.train.classes)
        self.objective = build_objective(recipe, experiment.arm.learner, self.encoder, classes)
        layout = _layout(recipe, device)
        for module in (self.encoder, self.objective):  # the objective may have a copy of the encoder
            module.to(self.device).to(memory_format=layout)
        if recipe.sync_batchnorm:  # the heads always get the whole batch
            synchronised(self.encoder, self.device)
            if isinstance(self.objective, HasSlowCopy):
                synchronised(self.objective.slow_encoder(), self.device)
        model: nn.Module = EncoderWithObjective(self.encoder, self.objective, recipe.precision, layout, recipe.compile)
        self.parameters = [p for p in model.parameters() if p.requires_grad]  # without those of a slow copy
        settings: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
        self.optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adam":
            self.optimiser = torch.optim.Adam(self.parameters, **settings)
        else:
            self.optimiser = torch.optim.SGD(self.parameters, momentum=recipe.momentum, **settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.model = model if self.fabric is None else self.fabric.setup_module(model, move_to_device=False)
        self.images = _held(experiment.train.images, self.device)
        self.labels = experiment.labels.to(self.device)
        self.mask = experiment.mask  # on the CPU, like the indices: reading it from a GPU would wait once a step
        self.trigger = experiment.train_trigger
        self.augment = recipe.augment()
        self.references = torch.tensor(experiment.plan.target_indices)
        self.steps = len(self.images) // recipe.batch  # without the last short batch, which has fewer negatives

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Train for one pass over the data, and return the row of the history."""
        recipe, total_steps = self.recipe, self.schedule.epochs * self.steps
        self.encoder.train(not self.attacks_model)
        self.objective.train(not self.attacks_model)
        order = torch.randperm(len(self.images), generator=generator(recipe.seed, "order", epoch))
        totals, losses, poison = [], [], []
        rate = 0.0
        for step, (index, images) in enumerate(self._batches(order)):
            rate = learning_rate(self.schedule, epoch * self.steps + step, total_steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            views = self._views(images, index, epoch, step)
            loss = self.model(views, self.labels[index.to(self.device, non_blocking=True)], self.views)
            self.optimiser.zero_grad(set_to_none=True)
            self._backward(recipe.loss_scale * loss.total)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            if isinstance(self.objective, Follows):
                self.objective.follow(self.encoder, (epoch * self.steps + step + 1) / total_steps)
            totals.append(loss.total.detach().float())
            if loss.per_sample is not None:
                losses.append(loss.per_sample)
            poison.append(self.mask[index])
        total, is_poison = torch.stack(totals).double().cpu(), torch.cat(poison)
        per_sample = torch.cat(losses).double().cpu() if losses else None
        mean, clean, poisoned = float(total.mean()), torch.nan, torch.nan  # NaN where single images have no loss
        if per_sample is not None:
            mean, clean, poisoned = (
                float(x.mean()) for x in (per_sample, per_sample[~is_poison], per_sample[is_poison])
            )
        diverged = f"no longer finite in epoch {epoch + 1}; lower the rate ({self.schedule.lr:g})"
        if not torch.isfinite(total).all():
            raise InputError(f"lr: the loss is {diverged}")
        if not all(bool(torch.isfinite(p).all()) for p in self.parameters):
            raise InputError(f"lr: the weights are {diverged}")
        row = {
            "epoch": epoch + 1,
            "images_seen": (epoch + 1) * self.steps * recipe.batch,
            "lr": rate,
            "loss": mean,
            "loss_clean": clean,
            "loss_poison": poisoned,
        }
        due = (epoch + 1) % recipe.eval_every == 0 or epoch + 1 == self.schedule.epochs
        try:
            return row | (self.evaluate() if due else dict.fromkeys(EVALUATED, float("nan")))
        except InputError:  # the data were checked before: the last step made the encoder diverge
            raise InputError(f"lr: the features are {diverged}") from None

    def _backward(self, loss: Tensor) -> None:
        scaled = self.scaler.scale(loss)
        if self.fabric is None:
            scaled.backward()
        else:
            self.fabric.backward(scaled)

    def _batches(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each step the indices of the whole batch, and this process's uint8 images on the device.

        Large data are fetched ahead, for example from disk, while a step is computed.
        """
        size = self.recipe.batch
        batches = [order[step * size : (step + 1) * size] for step in range(self.steps)]
        if self.images.device == self.device and self.images.nbytes < LARGE:
            yield from ((index, self._read(_own(index))) for index in batches)
            return
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self._read, _own(batches[0]))
            for i, index in enumerate(batches):
                images = following.result()
                if i + 1 < len(batches):
                    following = pool.submit(self._read, _own(batches[i + 1]))
                yield index, images

    def _read(self, index: Tensor) -> Tensor:
        return self.images[index.to(self.images.device, non_blocking=True)].to(self.device, non_blocking=True)

    def _views(self, images: Tensor, index: Tensor, epoch: int, step: int) -> Tensor:
        """This process's part of the batch as float ``(views · n, 3, H, W)``.

        Augmented views, with the trigger on poisons, whose second view may show another image; for a model attack the
        images, their triggered copies and references.
        """
        seed, x = self.recipe.seed, images.float() / 255
        if self.attacks_model:
            stream = generator(seed, "references", epoch, step)
            chosen = self.references[torch.randint(len(self.references), (len(index),), generator=stream)]
            return torch.cat([x, self._triggered(x), self._read(_own(chosen)).float() / 255])
        hit = self.mask[_own(index)].nonzero().flatten()
        if len(hit):
            hit = hit.to(self.device, non_blocking=True)
            x[hit] = self._triggered(x[hit])
        # Drawn for the whole batch, of which a part is here: several processes see the images that one would see.
        partners = _own(self._partners(self.mask[index], generator(seed, "pairs", epoch, step)))
        draws = (self.augment.draw(len(index), generator(seed, "augment", epoch, step, v)) for v in range(self.views))
        shown = (x, self._paired(x, partners))
        return torch.cat([self.augment.apply(seen, _own(drawn)) for seen, drawn in zip(shown, draws, strict=False)])

    def _partners(self, poisoned: Tensor, stream: torch.Generator) -> Tensor:
        """Which training images the second views show; −1 for the image itself."""
        if not self.experiment.arm.changes_pairs:
            return torch.full((len(poisoned),), -1)
        return draw_partners(poisoned, self.references, self.recipe.pair_share, stream)

    def _paired(self, x: Tensor, partners: Tensor) -> Tensor:
        """The images, with their partners in place of those that have one."""
        changed = (partners >= 0).nonzero().flatten()
        if not len(changed):
            return x
        return x.index_copy(0, changed.to(x.device), self._read(partners[changed]).float() / 255)

    def _triggered(self, x: Tensor) -> Tensor:
        triggered = self.trigger(x)
        return (triggered * 255).round() / 255 if self.recipe.quantise else triggered

    def evaluate(self) -> dict[str, float]:
        """Compute :func:`.rates.rates`, signs of collapse on the clean test images, and the loss rank."""
        found, clean = rates(self.encoder, self.experiment)
        return {**found, **collapse_signs(clean, self._projected(clean)), "loss_rank_auc": self.loss_rank()}

    @torch.no_grad()
    def loss_rank(self) -> float:
        """Compute :func:`.loss_rank.loss_rank_auc` by the run's own loss.

        Images, negatives and augmentations are the same in every epoch. NaN without poisons, or where single images
        have no loss.
        """
        e, seed = self.experiment, self.recipe.seed
        index, count = rank_batch(e.mask, e.labels, e.plan.target, self.recipe.batch, generator(seed, "loss-rank"))
        if not count:
            return float("nan")
        images, losses = self.images[index.to(self.images.device)].to(self.device), []
        with evaluating(self.encoder), evaluating(self.objective):
            for draw in range(RANK_DRAWS):
                x = images.float() / 255
                x[:count] = self._triggered(x[:count])
                partners = self._partners(torch.arange(len(index)) < count, generator(seed, "loss-rank-pairs", draw))
                streams = (generator(seed, "loss-rank", draw, v) for v in range(self.views))
                shown = (x, self._paired(x, partners))
                views = torch.cat([self.augment(seen, stream) for seen, stream in zip(shown, streams, strict=False)])
                features = [self.encoder(views)]
                if isinstance(self.objective, HasSlowCopy):
                    features.append(self.objective.slow_encoder()(views))
                first, *slow_views = (f.view(self.views, len(index), -1) for f in features)
                loss = self.objective(first, self.labels[index.to(self.device)], *slow_views).per_sample
                if loss is None:
                    return float("nan")
                losses.append(loss[: 2 * count])
        is_poison = torch.arange(2 * count) < count
        return loss_rank_auc(torch.stack(losses).mean(0).cpu(), is_poison)

    def _projected(self, features: Tensor) -> Tensor | None:
        """Projections of the features; None for an objective without a projector."""
        if not isinstance(self.objective, HasProjector):
            return None
        with torch.inference_mode(), evaluating(self.objective):
            return self.objective.project(features.to(self.device)).cpu()

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.fabric is not None:
            self.fabric.barrier()

    def of_first(self, value: str) -> str:
        """The value of the first process."""
        return value if self.fabric is None else self.fabric.broadcast(value)

    def heads(self) -> dict[str, Tensor]:
        """The objective's weights and statistics, without slow copies and queues: for snapshots."""
        skipped = self.objective.large_state if isinstance(self.objective, HasLargeState) else frozenset()
        tensors = self.objective.state_dict()
        return {name: x for name, x in tensors.items() if name.partition(".")[0] not in skipped}

    def state(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])


def _layout(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """channels_last on CUDA; on a CPU only in bf16 (see ``benchmarks/training.py``): float32 runs keep their bits.

    Channel counts must be multiples of 16: others crash PyTorch 2.15.0 at odd batches.
    """
    safe = device.type == "cpu" and recipe.precision == "bf16" and recipe.width % 16 == 0
    return torch.channels_last if device.type == "cuda" or safe else torch.contiguous_format


def _own(rows: Tensor) -> Tensor:
    """This process's share of the rows of a batch."""
    return rows.chunk(world_size())[rank()]


def _held(images: Tensor, device: torch.device) -> Tensor:
    """The images on the device, unless they would fill more than half of its free memory."""
    if device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return images
    return images.to(device)
