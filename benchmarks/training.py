"""A training step of SimCLR against what a user would pick: lightly's stock loop, and the same loop with Kornia.

Written down before optimising (two CPU cores, same backbone, batch, precision, projector, loss and optimiser):

- The whole step, images a second: at least 1.5 times lightly's loop with the digits network at 16×16, whose step is
  short against the augmentation; no slower with the small ResNet at 32×32, whose step is not. lightly augments single
  PIL images in the workers of a DataLoader, two here, which share the cores with the training.
- The same in bf16, where ours keeps channels last on a CPU too: 1.2 times Kornia's loop, whose tensors are contiguous;
  on a CPU that multiplies matrices of bf16 (AMX), twice the images of the row in float32.
- Augmentation alone: at least 5 times torchvision's v2 transforms on single images, and 1.5 times Kornia on batches,
  with the same parameters and without blur (images of 16 and 32 pixels).
- On a GPU of the H100's class (run there only): a ResNet-18 at batch 512 in bf16, 200 epochs of 50,000 images
  (67 PFLOP) in at most 6 minutes; faster than Kornia's loop and at least 3 times lightly's.

Ours is the loop that ``fit`` runs, on images of noise, without its readings of ACC and ASR. Parts of our step are timed
apart, one after the other, so that they need not add up to the step. Peak memory is of a process of its own for each
loop; of lightly's workers the share that is theirs alone is added.
"""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from intertwine.representations import build_encoder
from intertwine.representations.seeds import generator
from intertwine.training import Augment, ImageSet, Recipe, make_plan
from intertwine.training.experiment import Experiment
from intertwine.training.loop import Training
from intertwine.training.objectives import SimCLR
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Row = dict[str, str]
TRIALS = 5
AUGMENT = Augment(crop=0.2, flip=0.5, jitter=0.4, hue=0.1, jitter_p=0.8, grayscale=0.2)
COMMON = {"arm": "simclr-benign", "optimiser": "sgd", "lr": 0.06, "weight_decay": 5e-4, "epochs": 10_000}
COMMON |= {"eval_every": 10_000, "trigger_cells": 2}
DIGITS = COMMON | {"arch": "resnet8", "width": 12, "image_size": 16, "hidden": 96, "projection": 96, "batch": 128}
SMALL = COMMON | {"arch": "resnet8", "width": 16, "image_size": 32, "hidden": 128, "projection": 128, "batch": 256}
RESNET18 = COMMON | {"arch": "resnet18", "width": 64, "image_size": 32, "hidden": 512, "projection": 128}
RESNET18 |= {"batch": 512, "precision": "bf16"}
PEAK_TFLOPS = 989.0
"""Dense bf16, NVIDIA's data sheets of the H100 and H200 SXM."""


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
    """The same network, loss, precision and optimiser for the loops of others."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.encoder = build_encoder(recipe.encoder_spec()).train().to(device, memory_format=self.layout)
        sizes = self.encoder.dim, recipe.hidden, recipe.projection
        self.objective = SimCLR(*sizes, recipe.temperature).train().to(device)
        both = [*self.encoder.parameters(), *self.objective.parameters()]
        self.optimiser = torch.optim.SGD(both, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, fused=True)

    def forward(self, views: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return self.encoder(views.to(memory_format=self.layout)).view(2, len(views) // 2, -1)

    def loss(self, features: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return self.objective(features, torch.zeros(features.shape[1])).total

    def step(self, views: Tensor) -> None:
        loss = self.loss(self.forward(views))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


def epochs(name: str, recipe: Recipe, steps: int, device: torch.device, workers: int) -> Callable[[], object]:
    """One epoch of ``steps`` steps by the loop of that name; each call is another."""
    size, batch = recipe.image_size, recipe.batch
    images = torch.randint(256, (batch * steps, 3, size, size), dtype=torch.uint8, generator=generator(0, "images"))
    if name == "ours":
        labels = torch.arange(len(images)) % 10
        noise = ImageSet(images, labels, tuple("0123456789"), "noise")
        plan = make_plan(noise, target=0, fraction=0.5, base="target_class", trigger="none", seed=0)
        mask = torch.zeros(len(images), dtype=torch.bool)
        training = Training(Experiment(recipe, noise, noise, plan, mask, labels), device)
        count = itertools.count()
        return lambda: training.epoch(next(count))
    model = Model(recipe, device)
    if name == "Kornia":
        kornia, held = kornia_transform(size), images.to(device)

        def with_kornia() -> None:
            for index in torch.randperm(len(held), device=device).split(batch):
                x = held[index].float() / 255
                model.step(torch.cat([kornia(x), kornia(x)]))

        return with_kornia
    loader = torch.utils.data.DataLoader(
        Images(images, lightly_transform(size)), batch, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=True, pin_memory=device.type == "cuda",
    )  # fmt: skip

    def lightly() -> None:
        for first, second in loader:
            model.step(torch.cat([first, second]).to(device, non_blocking=True))

    return lightly


def timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def whole_steps(
    what: str, settings: dict, steps: int, targets: dict[str, str], device: torch.device, *, compiled: bool = False
) -> list[Row]:
    recipe, workers = Recipe(**settings), 2 if device.type == "cpu" else 12
    loops = {name: epochs(name, recipe, steps, device, workers) for name in ("ours", "Kornia", "lightly")}
    if compiled:
        loops["ours, compiled"] = epochs("ours", recipe.replace(compile=True), steps, device, workers)
    for loop in loops.values():
        loop()  # warm: threads, workers, kernels
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(TRIALS):
        for name, loop in loops.items():
            taken[name].append(timed(loop, device))
    rate = {name: recipe.batch * steps / median(t) for name, t in taken.items()}
    peak = {name: peak_memory(name, settings, device) for name in ("ours", "Kornia", "lightly")}
    rows = [
        {
            "what": f"whole step, {what}, batch {recipe.batch}: images/s, median of {TRIALS} runs of {steps} steps",
            "ours": f"{rate['ours']:.0f}" + (f" (compiled {rate['ours, compiled']:.0f})" if compiled else ""),
            "peer": f"{name} {rate[name]:.0f}",
            "ratio": f"{rate['ours'] / rate[name]:.2f}" + (f" (target ≥ {targets[name]})" if name in targets else ""),
        }
        for name in ("lightly", "Kornia")
    ]
    rows.append(
        {
            "what": f"peak memory, {what}",
            "ours": peak["ours"],
            "peer": f"lightly {peak['lightly']}; Kornia {peak['Kornia']}",
        }
    )
    if device.type == "cuda":
        flops = step_flops(recipe)
        best = max(rate["ours"], rate.get("ours, compiled", 0.0))
        achieved = flops * best / recipe.batch / 1e12
        share = 100 * achieved / PEAK_TFLOPS
        rows.append(
            {
                "what": f"{what}: 200 epochs of 50,000 images, {flops / recipe.batch * 1e7 / 1e15:.0f} PFLOP",
                "ours": f"{1e7 / best:.0f} s, {achieved:.0f} TFLOP/s, {share:.0f} % of peak",
                "ratio": "(target ≤ 360 s)",
            }
        )
    return [*rows, shares(what, recipe, device)]


def step_flops(recipe: Recipe) -> int:
    """Of one step, forward and backward, both views."""
    model = Model(recipe.replace(precision="float32"), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model.loss(model.forward(torch.rand(16, 3, recipe.image_size, recipe.image_size))).backward()
    return counter.get_total_flops() * recipe.batch // 8


def shares(what: str, recipe: Recipe, device: torch.device) -> Row:
    model, batch, size = Model(recipe, device), recipe.batch, recipe.image_size
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator(0, "images")).to(device)
    parts: dict[str, list[float]] = {name: [] for name in ("augment", "forward", "loss", "backward", "optimiser")}
    done: dict[str, object] = {}
    for i in range(12):
        work: dict[str, Callable[[], object]] = {
            "augment": lambda i=i: torch.cat(
                [AUGMENT(images.float() / 255, generator(0, "augment", i, v)) for v in (0, 1)]
            ),
            "forward": lambda: model.forward(done["augment"]),
            "loss": lambda: model.loss(done["forward"]),
            "backward": lambda: (model.optimiser.zero_grad(set_to_none=True), done["loss"].backward()),
            "optimiser": model.optimiser.step,
        }
        for name, do in work.items():
            parts[name].append(timed(lambda name=name, do=do: done.__setitem__(name, do()), device))
    middle = {name: median(t[2:]) for name, t in parts.items()}
    total = sum(middle.values())
    return {
        "what": f"shares of the step, {what}",
        "ours": ", ".join(f"{name} {100 * t / total:.0f} %" for name, t in middle.items()),
    }


def peak_memory(name: str, settings: dict, device: torch.device) -> str:
    """In a process of its own."""
    command = [sys.executable, __file__, "--peak", name, json.dumps(settings), device.type]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def measure_peak(name: str, settings: dict, device: torch.device) -> str:
    run = epochs(name, Recipe(**settings), 4, device, 2)
    run()
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MB"

    def field(process: str, file: str, name: str) -> float:
        return int(re.findall(rf"{name}:\s*(\d+) kB", Path(f"/proc/{process}/{file}").read_text())[0]) / 1024

    # Not ru_maxrss: a process starts with its parent's.
    own = field("self", "status", "VmHWM")
    workers = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children").read_text().split()
    alone = [field(pid, "smaps_rollup", "Private_Dirty") for pid in workers]
    return f"{own:.0f} MB" + (f" + {sum(alone):.0f} MB in workers" if alone else "")


def augmentation(size: int, batch: int, device: torch.device) -> list[Row]:
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator(0, "images"))
    single, work = torchvision_transform(size), {}
    x, kornia = (images.float() / 255), kornia_transform(size)
    there = x.to(device)
    work["ours"] = lambda: AUGMENT(there, generator(0, "augment"))
    work["Kornia"] = lambda: kornia(there)
    work["torchvision, image by image"] = lambda: torch.stack([single(image) for image in x])
    taken: dict[str, list[float]] = {name: [] for name in work}
    for do in work.values():
        do()
    for _ in range(TRIALS):
        for name, do in work.items():
            taken[name].append(timed(do, device))
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
    if torch.cuda.is_available():
        device = torch.device("cuda")
        targets = {"lightly": "3", "Kornia": "1"}
        rows = whole_steps("ResNet-18, 32×32, bf16", RESNET18, 20, targets, device, compiled=True)
        return [*augmentation(32, 512, device), *rows]
    device = torch.device("cpu")
    return [
        *augmentation(16, 128, device),
        *augmentation(32, 256, device),
        *whole_steps("digits network, 16×16", DIGITS, 24, {"lightly": "1.5"}, device),
        *whole_steps("small ResNet, 32×32", SMALL, 6, {"lightly": "1"}, device),
        *whole_steps("small ResNet, 32×32, bf16", SMALL | {"precision": "bf16"}, 6, {"Kornia": "1.2"}, device),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(measure_peak(sys.argv[2], json.loads(sys.argv[3]), torch.device(sys.argv[4])))
    else:
        for row in run():
            print(row)
