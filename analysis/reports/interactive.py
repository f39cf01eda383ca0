"""The report to explore: one HTML file that opens without a network and sends nothing anywhere."""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.markers import MarkerStyle
from PIL import Image

from ... import figures
from ...checkpoints.files import atomic_write
from ...training.arms import ARMS
from .captions import CAPTIONS
from .claims_tables import by_contrast
from .embedding_maps import embedding_maps
from .pages import render

__all__ = ["verdict_groups", "write_page"]

TITLES = {
    "triggers": "Images with the trigger",
    "embeddings": "Map of the images",
    "confusion": "Where triggered images go",
    "dynamics": "Training",
    "geometry": "Geometry: CKA, spectrum, interference",
    "alignment": "Interference by layer",
    "alignment_map": "Interference during training",
    "forest": "Parts of the verdicts",
    "map": "Defences in one view",
    "roc": "Detectors at all thresholds",
}
"""Titles of figures whose name does not say it."""
PLACED = {"triggers", "embeddings", "two_factors", "readings", "confusion", "dynamics", "geometry", "alignment"}
"""Figures that have their place in the page; others come behind them."""


def write_page(
    path: Path,
    template: str,
    values: Mapping[str, Any],
    drawn: Sequence[Path],
    *,
    folders: Sequence[Path] = (),
) -> Path:
    """Write the page of a template.

    Args:
        values: what the template shows, and the ``title``, ``answer``, ``notice`` and ``facts`` of its head.
        drawn: figures in a folder beside the page. PNGs go into the page, those of one column for phones.
        folders: runs with an embedding and thumbnails; each gets a map.

    Raises:
        InputError: a run lacks its side tables.
    """
    maps = embedding_maps(folders) if folders else None
    symbols = _symbols([*ARMS, *(run["arm"] for run in maps["runs"])] if maps else ARMS)
    for run in maps["runs"] if maps else ():
        run["symbol"] = symbols[run["arm"]]["id"]
    shared = dict(values) | {"pictures": _pictures(path, drawn), "maps": maps, "symbols": symbols}
    body = render(template, **shared).decode()
    contents = [(name, Markup(title)) for name, title in re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)]
    atomic_write(path, render("page.html.j2", **shared, body=Markup(body), contents=contents))
    return path


def verdict_groups(claims: pd.DataFrame) -> list[tuple[str, list[dict[str, str]]]]:
    """Registered claims, then exploratory ones: the heading of each, and a line a contrast."""
    if claims.empty:
        return []
    groups = []
    lines = by_contrast(claims)
    for family in ("registered", "exploratory"):
        of_family = lines[lines["family"] == family]
        for key, found in of_family.groupby(["claim", "statement"], sort=False):
            claim, statement = map(str, key)
            heading = statement[0].upper() + statement[1:]
            more = f"{claim}, exploratory" if family == "exploratory" else claim
            groups.append((f"{heading} ({more})", [_verdict(line) for line in found.to_dict("records")]))
    return groups


def _verdict(line: Mapping[Any, Any]) -> dict[str, str]:
    works = f"attack works in {line['backdoored']} seeds" if line["backdoored"] else ""
    return {key: str(line[key]) for key in ("arm", "against", "verdict")} | {"note": works}


def _pictures(path: Path, drawn: Sequence[Path]) -> list[dict[str, Any]]:
    """Figures that have a caption, in the order given."""
    pngs = {figure.stem: figure for figure in drawn if figure.suffix == ".png"}
    shown = []
    for stem, figure in pngs.items():
        kind, _, which = stem.partition("-")
        if which == "1col" or stem.endswith("-1col") or kind not in CAPTIONS:
            continue
        narrow = pngs.get(f"{stem}-1col")
        title = TITLES.get(kind, kind.replace("_", " ").capitalize())
        of_kind = [other for other in pngs if other.startswith(f"{kind}-") and not other.endswith("-1col")]
        shown.append(
            {
                "name": stem,
                "title": f"{title}: {which}" if len(of_kind) > 1 else title,
                "caption": CAPTIONS[kind],
                "wide": _webp(figure),
                "narrow": _webp(narrow) if narrow else "",
                "vector": figure.with_suffix("").relative_to(path.parent).as_posix() + ".pdf",
                "placed": stem in PLACED,
            }
        )
    return shown


def _webp(path: Path) -> str:
    """A figure as a data URI, at a third of the size of its PNG."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "WEBP", lossless=True, method=1, quality=50)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _symbols(arms: Iterable[str]) -> dict[str, dict[str, str]]:
    """The figures' marker of each arm: an id in the page, the colour, and an outline in [-1, 1]."""
    looks = figures.arm_styles(dict.fromkeys(arms))
    return {
        arm: {"id": f"arm{i}", "color": look.color, "path": _outline(MarkerStyle(look.marker))}
        for i, (arm, look) in enumerate(looks.items())
    }


def _outline(marker: MarkerStyle) -> str:
    path = marker.get_path().transformed(marker.get_transform())
    (polygon, *_) = path.to_polygons(closed_only=False)
    corners = np.asarray(polygon) / np.abs(polygon).max()
    return "M" + "L".join(f"{x:.2f} {-y:.2f}" for x, y in corners) + "Z"  # in SVG, y points down
