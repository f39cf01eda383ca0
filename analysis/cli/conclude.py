"""``intertwine conclude``."""

from .options import All, Json, StudyFolder
from .terminal import columns, files, say, show, stopwatch

__all__ = ["conclude"]


def conclude(folder: StudyFolder, every: All = False, as_json: Json = False) -> None:
    """Judge, draw and report a study, a grid or defences again, from their tables alone."""
    from ..claims.declarations import declared_evaluator
    from ..reports.defence_answer import defence_answer
    from ..results.table import find_table, read_rows
    from ..studies.defence_conclusion import DEFENCES, conclude_defences
    from ..studies.grid import TABLE, conclude_grid
    from ..studies.study import conclude as conclude_study

    clock = stopwatch()
    if find_table(folder, TABLE).is_file():
        files(conclude_grid(folder)[-1], clock())
        return
    if find_table(folder, DEFENCES).is_file():
        written = conclude_defences(folder)
        rows = read_rows(find_table(folder, DEFENCES))
        say(defence_answer(rows, declared_evaluator(folder), columns()))
        files(written, clock())
        return
    rows, claims, written = conclude_study(folder)
    show(rows, claims, written, as_json, "", clock(), every=every)
