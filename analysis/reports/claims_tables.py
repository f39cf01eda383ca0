"""Verdicts as text: in short, and line by line."""

from collections.abc import Sequence

import pandas as pd

from .formatting import interval, number, probability

__all__ = ["by_contrast", "claims_table", "in_short"]


def by_contrast(claims: pd.DataFrame) -> pd.DataFrame:
    """One line a claim and contrast: a verdict is of both readings together."""
    return claims.drop_duplicates(["claim", "arm", "against"])


def in_short(claims: pd.DataFrame, *, by: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """For each group of contrasts ``by`` these columns: its verdicts, each with the number of contrasts."""
    counts = []
    for group, lines in claims.groupby(list(by), sort=False):
        found = lines["verdict"].value_counts()
        counts.append((tuple(map(str, group)), ", ".join(f"{v} ({n} of {len(lines)})" for v, n in found.items())))
    return counts


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """One line for each primary reading of a claim and arm; the joint verdict is on the first of them."""
    first = ~claims.duplicated(["claim", "arm", "against"])
    return pd.DataFrame(
        {
            "claim": (claims["claim"] + ": " + claims["statement"]).where(first, ""),
            "arm": claims["arm"].where(first, ""),
            "against": claims["against"].where(first, ""),
            "verdict": claims["verdict"].where(first, ""),
            "reading": claims["measure"],
            "effect": claims["effect"].map(number),
            "90 % interval": list(map(interval, claims["ci90_low"], claims["ci90_high"])),
            "95 % interval": list(map(interval, claims["ci_low"], claims["ci_high"])),
            "seeds": claims["seeds"].astype(str),
            "p (Holm)": claims["p_holm"].map(probability).where(first, ""),
            "because": claims["why"],
        }
    )
