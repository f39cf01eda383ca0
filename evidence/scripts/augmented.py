"""What augmentation leaves of a trigger, and how long a small network then takes to see it.

    python -m evidence.scripts.augmented imagefolder:data/cifar10

writes ``augmented.csv``. ``energy``: mean square of the trigger's change in an augmented image over that in the image
itself, with the same draws. ``template``: how much of the pattern is in that change, by least squares: 1 untouched,
about 0 where a fixed template sees nothing. ``steps``: batches of 128, half of them triggered, until a ResNet-8 of
width 16 separates the two (mean loss of thirty steps below .1; chance is .69), for each of :data:`SEEDS`; ``–`` if not
within :data:`STEPS`; empty if not tried. *torchvision's*: its RandomResizedCrop, flip, ColorJitter and
RandomGrayscale, image by image. Ours has the same amounts, but crops to parts of a pixel and turns hue in the chroma
plane of YIQ; torchvision turns it in HSV.
"""

import sys
from dataclasses import dataclass

import pandas as pd
import torch
from intertwine.representations import build_encoder
from intertwine.representations.seeds import generator
from intertwine.training import Augment
from intertwine.training.data import load_images
from intertwine.training.provenance import provenance
from intertwine.training.recipe import read_recipe
from intertwine.training.triggers import Trigger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision import transforms

from .. import TABLES

TABLE = TABLES / "augmented.csv"
TRIGGERS = {
    "CTRL, m = 100": ("cifar10-ctrl-official", {}),
    "SIG, Δ = 40": ("cifar10-small", {"image_size": "32", "target": "0", "trigger_wave": "fixed"}),
    "blend, α = 0.5": ("cifar10-blend-cpu", {"image_size": "32"}),
    "patch of 5×5": ("cifar10-half-patch", {}),
}


@dataclass(frozen=True)
class Torchvision:
    """SimCLR's augmentation as torchvision draws it, for one image at a time, called as :class:`Augment` is."""

    grayscale: float = 0.2

    def __call__(self, images: Tensor, stream: torch.Generator) -> Tensor:
        jitter = transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
        crop = transforms.RandomResizedCrop(images.shape[-1], scale=(0.2, 1.0), antialias=True)
        gray = transforms.RandomGrayscale(self.grayscale)
        every = transforms.Compose([crop, transforms.RandomHorizontalFlip(), jitter, gray])
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=stream)))
            return torch.stack([every(image) for image in images])


NONE = Augment(crop=1, flip=0, jitter=0, hue=0, grayscale=0)
AUGMENTATIONS: dict[str, Augment | Torchvision] = {
    "none": NONE,
    "flip": Augment(crop=1, jitter=0, hue=0, grayscale=0),
    "crop from .2": Augment(flip=0, jitter=0, hue=0, grayscale=0),
    "crop and flip": Augment(jitter=0, hue=0, grayscale=0),
    "crop, flip and jitter": Augment(grayscale=0),
    "crop, flip and jitter, torchvision's": Torchvision(grayscale=0),
    "all of SimCLR's": Augment(),
    "all of SimCLR's, torchvision's": Torchvision(),
}
LEARNED = ("CTRL, m = 100", "SIG, Δ = 40")
"""Triggers for which a network is trained, under all augmentations but those that make some images gray."""
SEEDS, STEPS, BATCH, WINDOW, SEEN = (0, 1, 2, 3, 4), 1500, 128, 30, 0.1


def main() -> None:
    train, test = load_images(sys.argv[1], image_size=32, n_train=4000, n_test=2000, squeeze=(0.0, 1.0), seed=0)
    lines, made = [], {key: str(provenance()[key]) for key in ("machine", "commit")}
    for name, (preset, changes) in TRIGGERS.items():
        trigger = read_recipe(preset, **changes).make_trigger()
        for how, augment in AUGMENTATIONS.items():
            energy, template = left(trigger, augment, test.images.float() / 255)
            tried = name in LEARNED and not how.startswith("all of")
            steps = " ".join(steps_to_see(trigger, augment, train.images, seed) for seed in SEEDS) if tried else ""
            lines.append(
                {"trigger": name, "augmentation": how, "energy": f"{energy:.3f}", "template": f"{template:.3f}"}
            )
            lines[-1] |= {"steps": steps, **made}
            print(lines[-1], flush=True)
    pd.DataFrame(lines).to_csv(TABLE, index=False)


def left(trigger: Trigger, augment: Augment | Torchvision, x: Tensor) -> tuple[float, float]:
    added = trigger(x) - x
    seen = augment(x + added, generator(0, "augmented")) - augment(x, generator(0, "augmented"))
    template = (seen * added).flatten(1).sum(1) / added.square().flatten(1).sum(1)
    return float(seen.square().mean() / added.square().mean()), float(template.mean())


def steps_to_see(trigger: Trigger, augment: Augment | Torchvision, images: Tensor, seed: int) -> str:
    encoder = build_encoder(read_recipe("cifar10-ctrl-official", arch="resnet8", width=16).encoder_spec(), seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = nn.Linear(encoder.dim, 2)
    optimiser = torch.optim.SGD([*encoder.parameters(), *head.parameters()], 0.05, momentum=0.9, weight_decay=5e-4)
    stream, losses = generator(seed, "plateau"), []
    is_triggered = torch.arange(BATCH) % 2 == 1
    for step in range(STEPS):
        x = images[torch.randint(len(images), (BATCH,), generator=stream)].float() / 255
        x[is_triggered] = trigger(x[is_triggered])
        loss = cross_entropy(head(encoder.train()(augment(x, generator(seed, "plateau", step)))), is_triggered.long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if step + 1 >= WINDOW and sum(losses[-WINDOW:]) / WINDOW < SEEN:
            return str(step + 1)
    return "–"


if __name__ == "__main__":
    main()
