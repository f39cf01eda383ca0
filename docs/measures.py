"""Write docs/measures.md from the table of measures: `python docs/measures.py`."""

import math
from pathlib import Path

from intertwine.analysis.results.measures import MEASURES

FAMILIES = {
    "R": "rates and what defences give",
    "A": "effect: restates that the backdoor works",
    "B": "mixing: evidence",
    "C": "machinery: evidence",
    "D": "learning: evidence",
    "E": "description",
}


def number(value: float) -> str:
    if math.isnan(value):
        return ""
    return ("−" if value < 0 else "") + ("∞" if math.isinf(value) else f"{abs(value):g}")


def table() -> str:
    """One line a measure: name, family, what it is, range, its values where the tasks are one and where apart."""
    lines = ["# Measures", "", "Names as in the column `measure` of `rows.csv`; made by `python docs/measures.py`.", ""]
    for family, title in FAMILIES.items():
        lines += [
            f"## {family}, {title}",
            "",
            "| measure | what | range | intertwined | apart | does not change under |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for name, m in MEASURES.items():
            if m.family == family:
                span = f"{number(m.range[0])} to {number(m.range[1])}"
                cells = span, number(m.intertwined), number(m.apart), ", ".join(sorted(m.invariances))
                lines.append(f"| `{name}` | {m.title} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (Path(__file__).parent / "measures.md").write_text(table())
