"""The report to explore: one HTML file that opens without a network."""

import base64
import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ... import figures
from ...checkpoints.files import atomic_write
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..runs.side_tables import EMBEDDING, THUMBNAILS, gather
from .cautions import cautions
from .claims_tables import claims_in_short, claims_table
from .labels import LABELS
from .pages import render
from .readings_table import readings_table, shown_rows

__all__ = ["write_interactive"]

UMAP = "umap"
COLUMNS = 40  # of a sheet of thumbnails


def write_interactive(
    path: Path,
    folders: Sequence[Path],
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    *,
    notice: str = "",
    defences: Sequence[tuple[str, pd.DataFrame]] = (),
) -> Path:
    """Write ``report.html`` of measured runs: maps with the images behind the points, readings beside their references,
    verdicts, and tables of defences, if there are any.

    Raises:
        InputError: plotly is not installed; a run lacks its side tables.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("report: plotly is not installed; pip install 'intertwine[report]'") from None
    points = gather(folders, EMBEDDING)
    data = {
        "runs": [_run(folder, points[points["run"] == _name(points, folder)]) for folder in folders],
        "classes": {int(label): name for label, name in zip(points["label"], points["class_name"], strict=True)},
        "target": int(points["target"].iloc[0]),
        "readings": _readings(rows),
        "looks": {arm: look.color for arm, look in figures.arm_styles(dict.fromkeys(rows["arm"])).items()},
        "labels": LABELS,
    }
    page = render(
        "interactive.html.j2",
        notice=notice,
        in_short=claims_in_short(claims),
        claims=claims_table(claims) if len(claims) else (),
        cautions=cautions(rows),
        readings=readings_table(rows),
        defences=defences,
        data=data,
        plotly=get_plotlyjs().replace("</script", r"<\/script"),
    )
    atomic_write(path, page)
    return path


def _name(points: pd.DataFrame, folder: Path) -> str:
    return str(pd.read_csv(folder / EMBEDDING, usecols=["run"], nrows=1)["run"].iloc[0])


def _run(folder: Path, points: pd.DataFrame) -> dict[str, Any]:
    layers = [
        column.removeprefix("x_")
        for column in map(str, points)
        if column.startswith("x_") and points[column].notna().all()
    ]
    maps = {f"PCA, {layer}": [f"x_{layer}", f"y_{layer}"] for layer in layers if layer != FEATURES}
    maps |= {f"PCA, {FEATURES}": [f"x_{FEATURES}", f"y_{FEATURES}"]} if FEATURES in layers else {}
    maps |= {f"UMAP, {FEATURES}": ["x", "y"]}
    sheet, side = _sheet(folder / THUMBNAILS, len(points))
    return {
        "name": str(points["run"].iloc[0]),
        "arm": str(points["arm"].iloc[0]),
        "label": points["label"].tolist(),
        "triggered": points["triggered"].astype(int).tolist(),
        "hit": points["hit"].astype(int).tolist(),
        "maps": {name: [_short(points[axis]) for axis in axes] for name, axes in maps.items()},
        "sheet": sheet,
        "side": side,
        "columns": COLUMNS,
    }


def _short(values: pd.Series) -> list[float]:
    """Four digits of the range: more than a screen can show."""
    span = float(values.max() - values.min()) or 1.0
    return [round(v, max(0, 4 - math.floor(math.log10(span)))) for v in values.tolist()]


def _sheet(path: Path, expected: int) -> tuple[str, int]:
    """All thumbnails in one picture, row by row, as a data URI; and the side of one of them."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays["images"]
    except FileNotFoundError:
        raise InputError(f"run: {path.parent} has no {path.name}; `intertwine compare` writes it") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"run: {path} is corrupted: {error}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != expected:
        raise InputError(f"run: {path}: expected {expected} images, received {images.dtype} {images.shape}")
    _, height, width, _ = images.shape
    lines = -(-len(images) // COLUMNS)
    whole = np.zeros((lines * COLUMNS, height, width, 3), np.uint8)
    whole[: len(images)] = images
    tiled = whole.reshape(lines, COLUMNS, height, width, 3).swapaxes(1, 2).reshape(lines * height, COLUMNS * width, 3)
    buffer = io.BytesIO()
    # Small pictures as they are; larger ones would make the page larger than a mail.
    lossless = height <= 16
    Image.fromarray(tiled).save(buffer, "WEBP", lossless=lossless, quality=100 if lossless else 75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), height


def _readings(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Readings that the table shows, with their references, for drawing."""
    shown = shown_rows(rows)
    readings = []
    for row in shown.to_dict("records"):
        numbers = {key: row[key] if math.isfinite(row[key]) else None for key in ("value", "ci_low", "ci_high")}
        texts = {key: row[key] for key in ("run", "arm", "measure", "subset", "reference", "evaluator", "status")}
        readings.append(texts | numbers | {"place": int(row["place"]), "seed": int(row["seed"])})
    return readings
