from .defence_report import write_defence_report
from .drawing import draw_all, draw_study
from .run_report import write_report, write_study_report

__all__ = ["draw_all", "draw_study", "write_defence_report", "write_report", "write_study_report"]
