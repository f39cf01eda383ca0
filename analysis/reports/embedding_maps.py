"""What the maps of ``report.html`` need: where each image lies in each encoder, and its thumbnail."""

import base64
import hashlib
import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ...figures import ROLES
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..runs.side_tables import EMBEDDING, THUMBNAILS, gather

__all__ = ["embedding_maps"]

COLUMNS = 40  # of a sheet of thumbnails


def embedding_maps(folders: Sequence[Path]) -> dict[str, Any]:
    """Points and thumbnails of runs, as JSON takes them. Runs that show the same images share one sheet of them.

    Raises:
        InputError: a run lacks its side tables, or they are damaged.
    """
    tables = [gather([folder], EMBEDDING) for folder in folders]
    sheets: dict[str, dict[str, Any]] = {}
    runs = []
    for folder, points in zip(folders, tables, strict=True):
        images = _thumbnails(folder / THUMBNAILS, len(points))
        digest = hashlib.sha256(images.tobytes()).hexdigest()
        sheets.setdefault(digest, {"columns": COLUMNS, "images": images})
        runs.append(_run(points) | {"sheet": list(sheets).index(digest)})
    points = pd.concat(tables)
    names = points.drop_duplicates("label").sort_values("label")
    return {
        "runs": runs,
        "sheets": [{"columns": COLUMNS, "picture": _sheet(sheet["images"])} for sheet in sheets.values()],
        "classes": dict(zip(names["label"].astype(int).tolist(), names["class_name"], strict=True)),
        "target": int(points["target"].iloc[0]),
        "roles": ROLES,
    }


def _run(points: pd.DataFrame) -> dict[str, Any]:
    layers = [
        column.removeprefix("x_")
        for column in map(str, points)
        if column.startswith("x_") and points[column].notna().all()
    ]
    maps = {f"PCA, {layer}": [f"x_{layer}", f"y_{layer}"] for layer in layers if layer != FEATURES}
    maps |= {f"PCA, {FEATURES}": [f"x_{FEATURES}", f"y_{FEATURES}"]} if FEATURES in layers else {}
    maps |= {f"UMAP, {FEATURES}": ["x", "y"]}
    return {
        "name": str(points["run"].iloc[0]),
        "arm": str(points["arm"].iloc[0]),
        "image": points["image"].tolist(),
        "label": points["label"].tolist(),
        "triggered": points["triggered"].astype(int).tolist(),
        "hit": points["hit"].astype(int).tolist(),
        "maps": {name: [_short(points[axis]) for axis in axes] for name, axes in maps.items()},
    }


def _short(values: pd.Series) -> list[float]:
    """Four digits of the range: more than a screen can show."""
    span = float(values.max() - values.min()) or 1.0
    return [round(v, max(0, 4 - math.floor(math.log10(span)))) for v in values.tolist()]


def _thumbnails(path: Path, expected: int) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images: np.ndarray = arrays["images"]
    except FileNotFoundError:
        raise InputError(f"run: {path.parent} has no {path.name}; `intertwine compare` writes it") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"run: {path} is corrupted: {error}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != expected:
        raise InputError(f"run: {path}: expected {expected} images, received {images.dtype} {images.shape}")
    return images


def _sheet(images: np.ndarray) -> str:
    """All thumbnails in one picture, row by row, as a data URI."""
    _, height, width, _ = images.shape
    lines = -(-len(images) // COLUMNS)
    whole = np.zeros((lines * COLUMNS, height, width, 3), np.uint8)
    whole[: len(images)] = images
    tiled = whole.reshape(lines, COLUMNS, height, width, 3).swapaxes(1, 2).reshape(lines * height, COLUMNS * width, 3)
    buffer = io.BytesIO()
    # Small pictures as they are; larger ones would make the page larger than a mail.
    lossless = height <= 16
    Image.fromarray(tiled).save(buffer, "WEBP", lossless=lossless, quality=100 if lossless else 75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
