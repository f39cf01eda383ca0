"""What JPEG leaves of CTRL's trigger.

    python -m evidence.scripts.jpeg ORIGINALS.npz imagefolder:PATH

``ORIGINALS.npz``: ``x_test`` uint8 (n, 32, 32, 3), unaltered CIFAR-10 test images. ``imagefolder:PATH``: CIFAR-10
re-encoded as JPEG, which the zoo and the studies here use. Writes ``jpeg.csv``: for each way to keep images, the share
that is left of the m = 100 added to a coefficient (mean over images), and the size of that coefficient in images
without the trigger (median of absolute values). U and V on the 0–255 scale, orthonormal DCT-II on 32×32.
"""

import io
import sys

import numpy as np
import pandas as pd
import torch
from intertwine.training.data import load_images
from intertwine.training.triggers import Spectral
from intertwine.training.triggers.spectral import TO_YUV, dct_matrix
from PIL import Image
from torch import Tensor

from .. import TABLES

STRENGTH, SIDE = 100.0, 32
PLACES = ((15, 15), (31, 31))
WAYS = {
    "floats in memory": None,
    "PNG": {"format": "PNG"},
    "JPEG, quality 95, 4:4:4": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "JPEG, quality 95, 4:2:0": {"format": "JPEG", "quality": 95, "subsampling": 2},
    "JPEG, quality 75, 4:2:0": {"format": "JPEG", "quality": 75, "subsampling": 2},
}


def main() -> None:
    originals = torch.from_numpy(np.load(sys.argv[1])["x_test"]).permute(0, 3, 1, 2).contiguous()
    _, archive = load_images(sys.argv[2])
    trigger = Spectral(SIDE, STRENGTH)
    lines = []
    for way, options in WAYS.items():
        clean, triggered = (
            coefficients(stored(x, options)) for x in (originals / 255, trigger(originals.float() / 255))
        )
        lines += table(f"originals, kept as {way}", clean, triggered)
    # As in a run of ours: decoded first, then triggered in memory, and rounded to grey levels.
    x = archive.images.float() / 255
    lines += table(
        "the archive, triggered after decoding", coefficients(x), coefficients((trigger(x) * 255).round() / 255)
    )
    pd.DataFrame(lines).to_csv(TABLES / "jpeg.csv", index=False)
    print(pd.DataFrame(lines).to_string())


def stored(images: Tensor, options: dict | None) -> Tensor:
    """Float (n, 3, H, W) in [0, 1] as it comes back from a file."""
    if options is None:
        return images
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    back = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image).save(file, **options)
        back.append(np.asarray(Image.open(file).convert("RGB")))
    return torch.from_numpy(np.stack(back)).permute(0, 3, 1, 2).float() / 255


def coefficients(images: Tensor) -> Tensor:
    """(n, 2, 2): U and V at each of :data:`PLACES`."""
    d = dct_matrix(SIDE)
    uv = torch.einsum("cy,nyhw->nchw", TO_YUV[1:], images) * 255
    spectrum = d @ uv @ d.T
    return torch.stack([spectrum[:, :, row, column] for row, column in PLACES], dim=2)


def table(way: str, clean: Tensor, triggered: Tensor) -> list[dict[str, object]]:
    left = (triggered - clean).mean(0) / STRENGTH
    size = clean.abs().median(0).values
    return [
        {
            **{"images": way, "n": len(clean), "channel": channel, "coefficient": str(place)},
            **{"share_left": round(float(left[c, p]), 4), "median_without": round(float(size[c, p]), 4)},
        }
        for c, channel in enumerate("UV")
        for p, place in enumerate(PLACES)
    ]


if __name__ == "__main__":
    main()
