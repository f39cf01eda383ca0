"""The table of measures, by family."""

import math

import pandas as pd
from intertwine.analysis.results.measures import MEASURES

FAMILIES = {
    "R": "rates, and what defences give",
    "A": "effect: it restates that the backdoor works, no evidence",
    "B": "mixing: evidence",
    "C": "machinery: evidence",
    "D": "learning: evidence",
    "E": "description: no evidence",
}


def families() -> dict[str, pd.DataFrame]:
    """Title → name, meaning, range, value at either end, invariances, and what it is evidence of."""
    return {f"{family}, {title}": _table(family) for family, title in FAMILIES.items()}


def _table(family: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{"measure": f"`{name}`", "what": m.title, "range": f"{_number(m.range[0])} to {_number(m.range[1])}"},
            **{"intertwined": _number(m.intertwined), "apart": _number(m.apart)},
            "does not change under": ", ".join(sorted(m.invariances)),
            **({"evidence of": m.evidence} if family in "BCD" else {}),
        }
        for name, m in MEASURES.items()
        if m.family == family
    )


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return ("−" if value < 0 else "") + ("∞" if math.isinf(value) else f"{abs(value):g}")
