"""Studies of one recipe that several machines have done, each with seeds of its own, as one study."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..checkpoints.store import atomic_write
from ..representations.errors import InputError
from .dynamics import coupling_rows
from .evaluable import gated
from .rows import find_table, read_rows, write_rows
from .runs import write_table

__all__ = ["join_studies"]

DECLARED = ("recipe.json", "predicates.json")


def join_studies(folders: Sequence[Path], out: Path) -> list[Path]:
    """The tables of studies under each other, in ``out``, where :func:`.study.conclude` judges them. Couplings, whose
    null is other seeds', are computed again over all of them. Tables may be compressed.

    Raises:
        InputError: fewer than two studies, different recipes or predicates, a run that is in two of them, tables in
            ``out`` already.
    """
    if len(folders) < 2:
        raise InputError(f"join: expected at least two studies, received {len(folders)}")
    if any(find_table(out, name).exists() for name in ("rows.csv", *DECLARED)):
        raise InputError(f"out: expected a folder without a study, received {out}")
    declared = {name: _equal(folders, name) for name in DECLARED}
    try:
        histories, abouts = ([pd.read_csv(find_table(f, n)) for f in folders] for n in ("history.csv", "runs.csv"))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"join: expected the folders of studies: {error}") from None
    about = pd.concat(abouts, ignore_index=True)
    if len(twice := about[about.duplicated(["arm", "seed"])]):
        shown = ", ".join(f"{line.arm}/seed{line.seed}" for line in twice.head(3).itertuples())
        raise InputError(f"join: expected each arm and seed once, received {shown} more than once")
    history = pd.concat(histories, ignore_index=True)
    rows = pd.concat([read_rows(find_table(f, "rows.csv")) for f in folders], ignore_index=True)
    rows = rows[rows["measure"] != "dynamics_coupling"]
    rows = gated(pd.concat([rows, coupling_rows(history)], ignore_index=True))
    written = [write_rows(rows, out / "rows.csv")]
    written += [write_table(history, out / "history.csv"), write_table(about, out / "runs.csv")]
    for name, text in declared.items():
        atomic_write(out / name, text.encode())
    return [*written, *(out / name for name in DECLARED)]


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
