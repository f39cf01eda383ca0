"""``intertwine conclude``."""

from .options import Json, StudyFolder
from .terminal import files, show, stopwatch

__all__ = ["conclude"]


def conclude(folder: StudyFolder, as_json: Json = False) -> None:
    """Judge, draw and report a study, a grid or defences again, from their tables alone."""
    from ..results.table import final_rows, find_table
    from ..studies.defence_conclusion import DEFENCES, conclude_defences
    from ..studies.grid import TABLE, conclude_grid
    from ..studies.study import conclude as conclude_study

    clock = stopwatch()
    if find_table(folder, TABLE).is_file():
        files(conclude_grid(folder)[-1], clock())
        return
    if find_table(folder, DEFENCES).is_file():
        files(conclude_defences(folder), clock())
        return
    rows, claims, written = conclude_study(folder)
    show(final_rows(rows), claims, written, as_json, "", clock())
