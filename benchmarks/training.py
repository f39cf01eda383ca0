"""A training step of SimCLR against what a user would pick: lightly's stock loop, and the same loop with Kornia.

Written down before optimising (two CPU cores, same backbone, batch, precision, projector, loss and optimiser):

- The whole step, images a second: at least 1.5 times lightly's loop with the digits network at 16×16, whose step is
  short against the augmentation; no slower with the small ResNet at 32×32, whose step is not. lightly augments single
  PIL images in the workers of a DataLoader, two here, which share the cores with the training.
- Augmentation alone: at least 5 times torchvision's v2 transforms on single images, and 1.5 times Kornia on batches,
  with the same parameters and without blur (images of 16 and 32 pixels).

Ours is one ``grid_sample`` and one affine map of the channels a batch. Parts of our step are timed apart, one after the
other, so that they need not add up to the step.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from intertwine.representations import EncoderSpec, build_encoder
from intertwine.representations.seeds import generator
from intertwine.training import Augment
from intertwine.training.objectives import SimCLR
from torch import Tensor, nn

Row = dict[str, str]
STEPS, TRIALS = 6, 5
AUGMENT = Augment(crop=0.2, flip=0.5, jitter=0.4, hue=0.1, jitter_p=0.8, grayscale=0.2)


class Images(torch.utils.data.Dataset):
    """Single PIL images under two views, as lightly's loop reads them."""

    def __init__(self, images: Tensor, transform: Callable) -> None:
        from torchvision.transforms.functional import to_pil_image

        self.images, self.transform = [to_pil_image(x) for x in images], transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(self.images[index])


def lightly_transform(size: int) -> Callable:
    from lightly.transforms import SimCLRTransform

    return SimCLRTransform(
        input_size=size, cj_prob=0.8, cj_strength=0.5, min_scale=0.2, random_gray_scale=0.2, gaussian_blur=0.0,
        normalize=None,
    )  # fmt: skip


def kornia_transform(size: int) -> nn.Module:
    from kornia.augmentation import ColorJitter, RandomGrayscale, RandomHorizontalFlip, RandomResizedCrop

    return nn.Sequential(
        RandomResizedCrop((size, size), scale=(0.2, 1.0)),
        RandomHorizontalFlip(p=0.5),
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        RandomGrayscale(p=0.2),
    )


def torchvision_transform(size: int) -> Callable:
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
        ]
    )


class Model:
    """The same network, loss and optimiser for every loop."""

    def __init__(self, spec: EncoderSpec, hidden: int) -> None:
        self.encoder = build_encoder(spec).train()
        self.objective = SimCLR(self.encoder.dim, hidden, hidden, 0.5).train()
        both = [*self.encoder.parameters(), *self.objective.parameters()]
        self.optimiser = torch.optim.SGD(both, 0.06, momentum=0.9, weight_decay=5e-4)

    def step(self, views: Tensor) -> None:
        features = self.encoder(views).view(2, len(views) // 2, -1)
        loss = self.objective(features, torch.zeros(len(views) // 2))
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        self.optimiser.step()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def whole_steps(what: str, spec: EncoderSpec, hidden: int, batch: int, target: str) -> list[Row]:
    size = spec.image_size
    images = torch.randint(256, (batch * STEPS, 3, size, size), dtype=torch.uint8, generator=generator(0, "images"))
    kornia, model = kornia_transform(size), Model(spec, hidden)
    loader = torch.utils.data.DataLoader(
        Images(images, lightly_transform(size)), batch, shuffle=True, drop_last=True, num_workers=2,
        persistent_workers=True,
    )  # fmt: skip

    def ours() -> None:
        for i, index in enumerate(torch.randperm(len(images)).split(batch)):
            x = images[index].float() / 255
            model.step(torch.cat([AUGMENT(x, generator(0, "augment", i, v)) for v in (0, 1)]))

    def with_kornia() -> None:
        for index in torch.randperm(len(images)).split(batch):
            x = images[index].float() / 255
            model.step(torch.cat([kornia(x), kornia(x)]))

    def lightly() -> None:
        for first, second in loader:
            model.step(torch.cat([first, second]))

    loops = {"ours": ours, "kornia": with_kornia, "lightly": lightly}
    for loop in loops.values():
        loop()  # warm: threads, workers
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(TRIALS):
        for name, loop in loops.items():
            taken[name].append(timed(loop)[0])
    rate = {name: len(images) / median(t) for name, t in taken.items()}
    return [
        {
            "what": f"whole step, {what}, batch {batch}: images/s, median of {TRIALS} runs of {STEPS} steps",
            "ours": f"{rate['ours']:.0f}",
            "peer": f"{name} {rate[name]:.0f}",
            "ratio": f"{rate['ours'] / rate[name]:.2f}" + (f" (target ≥ {target})" if name == "lightly" else ""),
        }
        for name in ("lightly", "kornia")
    ] + [shares(what, spec, hidden, batch, images[:batch])]


def shares(what: str, spec: EncoderSpec, hidden: int, batch: int, images: Tensor) -> Row:
    model = Model(spec, hidden)
    parts: dict[str, list[float]] = {name: [] for name in ("augment", "forward", "loss", "backward", "optimiser")}
    for i in range(2 * STEPS):
        marks = [time.perf_counter()]
        x = images.float() / 255
        views = torch.cat([AUGMENT(x, generator(0, "augment", i, v)) for v in (0, 1)])
        marks.append(time.perf_counter())
        features = model.encoder(views).view(2, batch, -1)
        marks.append(time.perf_counter())
        loss = model.objective(features, torch.zeros(batch))
        marks.append(time.perf_counter())
        model.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        marks.append(time.perf_counter())
        model.optimiser.step()
        marks.append(time.perf_counter())
        for name, start, end in zip(parts, marks[:-1], marks[1:], strict=True):
            parts[name].append(end - start)
    middle = {name: median(t[1:]) for name, t in parts.items()}
    total = sum(middle.values())
    return {
        "what": f"shares of the step, {what}",
        "ours": ", ".join(f"{name} {100 * t / total:.0f} %" for name, t in middle.items()),
    }


def augmentation(size: int, batch: int) -> list[Row]:
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator(0, "images"))
    x, kornia, single = images.float() / 255, kornia_transform(size), torchvision_transform(size)
    work = {
        "ours": lambda: AUGMENT(x, generator(0, "augment")),
        "Kornia": lambda: kornia(x),
        "torchvision, image by image": lambda: torch.stack([single(image) for image in x]),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for do in work.values():
        do()
    for _ in range(TRIALS):
        for name, do in work.items():
            taken[name].append(timed(do)[0])
    rate = {name: batch / median(t) for name, t in taken.items()}
    return [
        {
            "what": f"augmentation alone, {size}×{size}, batch {batch}: images/s",
            "ours": f"{rate['ours']:.0f}",
            "peer": f"{name} {rate[name]:.0f}",
            "ratio": f"{rate['ours'] / rate[name]:.1f} (target ≥ {target})",
        }
        for name, target in (("torchvision, image by image", "5"), ("Kornia", "1.5"))
    ]


def run() -> list[Row]:
    return [
        *augmentation(16, 128),
        *augmentation(32, 256),
        *whole_steps("digits network, 16×16", EncoderSpec("resnet8", 12, 16), 96, 128, "1.5"),
        *whole_steps("small ResNet, 32×32", EncoderSpec("resnet8", 16, 32), 128, 256, "1"),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
