"""Folders of small images."""

from pathlib import Path

from intertwine.training.data import ImageSet
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, colour=RED, size=(4, 4), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def numbered(root: Path, **counts: int) -> str:
    """A folder of 1×1 images that differ in their red value: the n-th of all is (n, 0, 0)."""
    n = 0
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i:03}.png", (n, 0, 0), (1, 1))
            n += 1
    return f"imagefolder:{root}"


def values(data: ImageSet) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()
