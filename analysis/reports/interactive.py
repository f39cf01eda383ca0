"""The report to explore: one HTML file with everything in it, which opens without a network."""

import base64
import html
import importlib.resources
import io
import json
import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ... import figures
from ...checkpoints.store import atomic_write
from ...representations.encoders import FEATURES
from ...representations.errors import InputError
from ..runs.side_tables import EMBEDDING, THUMBNAILS, gather
from .readings_table import readings_table, shown_rows
from .run_report import LIMITS, READ, cautions, claims_table

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
    """``report.html`` of measured runs: their embeddings at every tap with the images behind the points, readings
    beside their references, verdicts, and tables of defences, if there are any.

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
        "labels": figures.MEASURE_LABELS,
    }
    tables = {
        "NOTICE": f'<p class="notice">{html.escape(notice)}</p>' if notice else "",
        "CLAIMS": _table(claims_table(claims)) if len(claims) else "<p>No poisoned arm: there is nothing to judge.</p>",
        "CAUTIONS": "".join(f"<li>{html.escape(line)}</li>" for line in cautions(rows)),
        "READINGS": _table(readings_table(rows)),
        "READ": re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(READ)),
        "LIMITS": "".join(f"<li>{html.escape(line[2:])}</li>" for line in LIMITS.replace("\n  ", " ").splitlines()),
        "DEFENCES": "".join(f"<h3>{html.escape(title)}</h3>{_table(table)}" for title, table in defences),
        "PLOTLY": get_plotlyjs().replace("</script", r"<\/script"),
        # Names of classes come from folders: what ends a script must not end this one.
        "DATA": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c"),
    }
    page = importlib.resources.files(__package__).joinpath("interactive.html").read_text(encoding="utf-8")
    parts = page.split("%%")  # text, name, text, name, …: what is put in is not searched again
    atomic_write(path, "".join(tables[part] if i % 2 else part for i, part in enumerate(parts)).encode())
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


def _table(table: pd.DataFrame) -> str:
    """For screens of any width: it scrolls on its own. Text between two asterisks is bold."""
    head = "".join(f'<th scope="col">{html.escape(str(column))}</th>' for column in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell)).replace('**', '')}</td>" for cell in line) + "</tr>"
        for line in table.itertuples(index=False)
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
