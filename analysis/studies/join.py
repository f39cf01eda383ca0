"""Studies of one recipe from several machines, each with its own seeds, joined as one study."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...checkpoints.files import atomic_write
from ...representations.errors import InputError
from ..learning.curves import coupling_rows
from ..results.gates import gated
from ..results.table import find_table, read_rows, write_rows
from ..runs.side_tables import GALLERY, write_table

__all__ = ["join_studies"]

DECLARED = ("recipe.json", "predicates.json")
FAILURES = "failures.csv"


def join_studies(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write the tables of studies under each other into ``out``, for :func:`.study.conclude`.

    Couplings are computed again over all seeds: their null is other seeds' curves. Tables may be compressed.
    Interventions may be missing in some studies: their readings are then over fewer seeds, and counted so.

    Raises:
        InputError: fewer than two studies; different recipes, predicates or numbers of images; a run in two studies;
            tables of different runs; a study in ``out`` already.
    """
    if len(folders) < 2:
        raise InputError(f"join: expected at least two studies, received {len(folders)}")
    if any(find_table(out, name).exists() for name in ("rows.csv", *DECLARED)):
        raise InputError(f"out: expected a folder without a study, received {out}")
    declared = {name: _equal(folders, name) for name in DECLARED}
    parts = [_part(folder) for folder in folders]
    about = pd.concat([part["runs.csv"] for part in parts], ignore_index=True)
    if len(twice := about[about.duplicated(["arm", "seed"])]):
        shown = ", ".join(f"{line.arm}/seed{line.seed}" for line in twice.head(3).itertuples())
        raise InputError(f"join: expected each arm and seed once, received {shown} more than once")
    sizes = [_images(part["rows.csv"]) for part in parts]
    for folder, size in zip(folders, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"join: expected readings of as many images in all studies (--images), received {sorted(size)} in "
                f"{folder} and {sorted(sizes[0])} in {folders[0]}"
            )
    history = pd.concat([part["history.csv"] for part in parts], ignore_index=True)
    rows = pd.concat([part["rows.csv"] for part in parts], ignore_index=True)
    rows = rows[rows["kind"] != "coupling"]
    rows = gated(pd.concat([rows, coupling_rows(history)], ignore_index=True))
    written = [write_rows(rows, out / "rows.csv")]
    written += [write_table(history, out / "history.csv"), write_table(about, out / "runs.csv")]
    if failures := [pd.read_csv(folder / FAILURES) for folder in folders if (folder / FAILURES).is_file()]:
        written.append(write_table(pd.concat(failures, ignore_index=True), out / FAILURES))
    for name, text in declared.items():
        atomic_write(out / name, text.encode())
    if gallery := next((folder / GALLERY for folder in folders if (folder / GALLERY).is_file()), None):
        atomic_write(out / GALLERY, gallery.read_bytes())
        written.append(out / GALLERY)
    return [*written, *(out / name for name in DECLARED)]


def _part(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of one study, which must hold the same runs."""
    try:
        part = {name: pd.read_csv(find_table(folder, name)) for name in ("history.csv", "runs.csv")}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"join: {folder} is not the folder of a study: {error}") from None
    part["rows.csv"] = read_rows(find_table(folder, "rows.csv"))
    for name, table in part.items():
        if missing := {"arm", "seed"} - set(table.columns):
            raise InputError(f"join: {folder / name}: expected the columns {', '.join(sorted(missing))}")
    runs = {name: set(zip(table["arm"], table["seed"].astype(int), strict=True)) for name, table in part.items()}
    for name, found in runs.items():
        if other := found ^ runs["runs.csv"]:
            arm, seed = min(other)
            raise InputError(f"join: {folder}: runs.csv and {name} do not hold the same runs: {arm}/seed{seed}")
    return part


def _images(rows: pd.DataFrame) -> set[int]:
    """How many images the readings use: those of a reading of clean images, which uses all."""
    own = rows[(rows["measure"] == "effective_rank") & (rows["subset"] == "clean") & (rows["reference"] == "")]
    return set(own["n"].dropna().astype(int)) - {0}


def _equal(folders: Sequence[Path], name: str) -> str:
    texts = []
    for folder in folders:
        try:
            texts.append((folder / name).read_text())
        except OSError as error:
            raise InputError(f"join: {folder} is not the folder of a study: {error}") from None
    for folder, text in zip(folders, texts, strict=True):
        try:
            same = json.loads(text) == json.loads(texts[0])
        except ValueError as error:
            raise InputError(f"join: {folder / name} is no JSON: {error}") from None
        if not same:
            raise InputError(f"join: {folder / name} is not that of {folders[0]}: expected studies of one recipe")
    return texts[0]
