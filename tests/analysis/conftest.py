"""Planted encoders whose truth is known, and small trained runs."""

import shutil
from pathlib import Path

import pytest
import torch
from intertwine.analysis.results.row import RunLabel
from intertwine.representations import wrap
from torch import nn

from tests.factories import drawn_umap, empty_figures, trained

CLASSES, SIZE, DIM = 5, 8, 24


class PlantedBackbone(nn.Module):
    """Reads class (red), trigger (blue) and a fingerprint of the image (green), and places it where the dials say.

    reach 0: the trigger does nothing; 1: triggered images go to the target's centre. residual: how far they stay off
    it, along a direction of their own. Fingerprints become within-class noise.
    """

    def __init__(self, reach: float, residual: float, noise: float = 0.1) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(7)
        basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=g))[0]
        self.centres = nn.Linear(CLASSES, DIM, bias=False)
        self.scatter = nn.Linear(SIZE * SIZE, DIM, bias=False)
        with torch.no_grad():
            self.centres.weight.copy_(basis[:, :CLASSES])
            self.scatter.weight.copy_(torch.randn(DIM, SIZE * SIZE, generator=g) * noise / SIZE)
        self.register_buffer("own", basis[:, CLASSES])
        self.reach, self.residual = reach, residual

    def forward(self, x):
        label = (x[:, 0].mean((1, 2)) * 255 / 20).round().long().clamp(0, CLASSES - 1)
        flag = (x[:, 2].mean((1, 2)) > 0.5).float().unsqueeze(1)
        target = torch.zeros_like(label)
        one_hot = torch.nn.functional.one_hot
        code = one_hot(label, CLASSES).float() * (1 - self.reach * flag)
        code = code + self.reach * flag * one_hot(target, CLASSES).float()
        fingerprint = (x[:, 1].flatten(1) - 0.5) * 12**0.5
        return self.centres(code) + self.scatter(fingerprint) + self.residual * flag * self.own


class Flag:
    """The planted trigger: blue turned on. Another of its kind does nothing that the planted encoder sees."""

    def __call__(self, images):
        out = images.clone()
        out[:, 2] = 1
        return out

    def variant(self, index):
        return lambda images: images.clone()


def planted_images(n, seed):
    labels = torch.arange(n) % CLASSES
    images = torch.zeros(n, 3, SIZE, SIZE, dtype=torch.uint8)
    images[:, 0] = (labels * 20).to(torch.uint8).view(-1, 1, 1)
    g = torch.Generator().manual_seed(seed)
    images[:, 1] = torch.randint(0, 256, (n, SIZE, SIZE), generator=g, dtype=torch.uint8)
    return images, labels


@pytest.fixture(scope="module", autouse=True)
def _drawn_umap():
    with drawn_umap():
        yield


@pytest.fixture
def unsaved():
    """Figures are drawn, and their files hold one pixel: for what is not about pictures."""
    with empty_figures():
        yield


@pytest.fixture(scope="session")
def planted():
    """Function (reach, residual) → arguments of ``panel`` for an encoder with that truth, its benign twin included."""
    test, bank = planted_images(250, 0), planted_images(400, 1)

    def make(reach, residual, benign=True):
        encoder = wrap(PlantedBackbone(reach, residual), layers={"centres": "centres"})
        clean = wrap(PlantedBackbone(0.0, 0.0), layers={"centres": "centres"}) if benign else None
        label = RunLabel("planted/seed0", "planted")
        return (encoder, *test, Flag(), 0), {"bank": bank, "benign": clean, "label": label}

    return make


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory) -> Path:
    """A folder with two small runs of one plan: supervised-dirty and its benign twin. The backdoor does not work."""
    folder = tmp_path_factory.mktemp("runs")
    for arm in ("supervised-benign", "supervised-dirty"):
        trained(folder / arm / "seed0", arm)
    return folder


@pytest.fixture(scope="session")
def measured_runs(small_runs, tmp_path_factory) -> Path:
    """A copy of the small runs, measured: ``ARM/seed0`` with all side tables."""
    from intertwine.analysis.panel import PanelOptions
    from intertwine.analysis.runs.measurement import measure_folder

    folder, options = tmp_path_factory.mktemp("measured") / "runs", PanelOptions("cheap", images=100, bank=100)
    shutil.copytree(small_runs, folder)
    dirty, benign = (folder / arm / "seed0" for arm in ("supervised-dirty", "supervised-benign"))
    with drawn_umap():
        for run, twin in ((dirty, benign), (benign, None)):
            measure_folder(run, twin, options)
    return folder


@pytest.fixture(scope="session")
def small_pair(small_runs):
    """The same two, loaded."""
    from intertwine.analysis.runs.run import load_run

    return tuple(
        load_run(small_runs / arm / "seed0", device="cpu") for arm in ("supervised-dirty", "supervised-benign")
    )
