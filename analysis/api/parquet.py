"""An embedding with its thumbnails as Parquet, for Embedding Atlas, FiftyOne and the Hugging Face tools."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ...representations.errors import InputError

__all__ = ["write_embedding"]


def write_embedding(points: pd.DataFrame, thumbnails: np.ndarray, path: Path) -> Path:
    """Write one image a line, with its thumbnail as PNG in the column ``image_png``: ``{"bytes": …, "path": …}``.

    Args:
        points: as :func:`..runs.side_tables.embed_run` gives them. thumbnails: uint8 ``(n, h, w, 3)`` in their order.

    Raises:
        InputError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("to_parquet: expected pyarrow, which is not installed: pip install 'intertwine[parquet]'")
    names = [f"{i:05d}.png" for i in range(len(points))]
    pictures = [{"bytes": _png(x), "path": name} for x, name in zip(thumbnails, names, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    points.assign(image_png=pd.Series(pictures, index=points.index, dtype=object)).to_parquet(path, index=False)
    return path


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
