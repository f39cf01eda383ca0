"""Tables as LaTeX with booktabs."""

import re

import pandas as pd

__all__ = ["booktabs"]

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "–": "--",
    "∞": "$\\infty$",
}


def booktabs(table: pd.DataFrame) -> str:
    """A ``tabular`` environment; cells are text, and columns of numbers are aligned to the right.

    >>> print(booktabs(pd.DataFrame({"reading": ["asr_x"], "value": ["0.957"]})))
    \\begin{tabular}{lr}
    \\toprule
    reading & value \\\\
    \\midrule
    asr\\_x & 0.957 \\\\
    \\bottomrule
    \\end{tabular}
    """
    columns = "".join("r" if _is_numeric(table[c]) else "l" for c in table.columns)
    lines = [[_escaped(cell) for cell in row] for row in table.itertuples(index=False)]
    body = [" & ".join(line) + " \\\\" for line in lines]
    head = " & ".join(_escaped(c) for c in table.columns) + " \\\\"
    opening = f"\\begin{{tabular}}{{{columns}}}"
    return "\n".join([opening, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}"])


def _is_numeric(column: "pd.Series[str]") -> bool:
    return all(re.fullmatch(r"-?\d*\.?\d+|–|", str(cell)) for cell in column)


def _escaped(cell: object) -> str:
    return "".join(SPECIAL.get(c, c) for c in str(cell))
