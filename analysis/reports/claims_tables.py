"""Verdicts as text: in short, and line by line."""

from collections.abc import Sequence

import pandas as pd

from ..claims.planning import plan
from .formatting import MISSING, interval, number, probability
from .labels import LABELS

__all__ = ["by_contrast", "claims_in_short", "claims_table", "in_short", "plan_table"]

KEY = ["claim", "statement", "family", "arm", "against"]


def by_contrast(claims: pd.DataFrame) -> pd.DataFrame:
    """One line a claim and contrast: a verdict is of all its parts together."""
    return claims.drop_duplicates(KEY)


def in_short(claims: pd.DataFrame, *, by: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """For each group of contrasts ``by`` these columns: its verdicts, each with the number of contrasts."""
    counts = []
    for group, lines in claims.groupby(list(by), sort=False):
        found = lines["verdict"].value_counts()
        counts.append((tuple(map(str, group)), ", ".join(f"{v} ({n} of {len(lines)})" for v, n in found.items())))
    return counts


def claims_in_short(claims: pd.DataFrame) -> list[tuple[tuple[str, ...], str]]:
    """The verdicts of registered claims, by claim and statement; of exploratory ones where no other is."""
    if claims.empty:
        return []
    lines = by_contrast(claims)
    registered = lines[lines["family"] == "registered"]
    return in_short(registered if len(registered) else lines, by=["claim", "statement"])


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """One line for each part of a claim and arm; the joint verdict is on the first of them."""
    first = ~claims.duplicated(KEY)
    statement = claims["claim"] + ": " + claims["statement"]
    exploratory = (claims["family"] == "exploratory").map({True: " (exploratory)", False: ""})
    return pd.DataFrame(
        {
            "claim": (statement + exploratory).where(first, ""),
            "arm": claims["arm"].where(first, ""),
            "against": claims["against"].where(first, ""),
            "verdict": claims["verdict"].where(first, ""),
            "backdoored": claims["backdoored"].where(first, ""),
            "reading": claims["measure"].map(_name),
            "must be": claims["part"],
            "value": claims["effect"].map(number),
            "90 % interval": list(map(interval, claims["ci90_low"], claims["ci90_high"])),
            "95 % interval": list(map(interval, claims["ci_low"], claims["ci_high"])),
            "part": claims["outcome"],
            "p": claims["p"].map(probability),
            "p (Holm)": claims["p_holm"].map(probability).where(first, ""),
            "opposite p (Holm)": claims["p_fail_holm"].map(probability).where(first, ""),
            "seeds": claims["design"].where(claims["design"] != "", claims["seeds"].astype(str)),
            "because": claims["why"],
        }
    )


def plan_table(arms: Sequence[str], seeds: int, pilot: pd.DataFrame | None) -> pd.DataFrame:
    """:func:`..claims.planning.plan` as text, one line a part of a claim."""
    needs = plan(arms, seeds, pilot)
    first = ~needs.duplicated(["claim", "family", "arm", "against"])
    exploratory = (needs["family"] == "exploratory").map({True: " (exploratory)", False: ""})
    shown = {
        "claim": (needs["claim"] + exploratory).where(first, ""),
        "arm": needs["arm"].where(first, ""),
        "against": needs["against"].where(first, ""),
        "reading": needs["measure"].map(_name),
        "must be": needs["part"],
        "level": needs["level"].map(lambda level: f"{level:.3g}").where(first, ""),
    }
    if pilot is None:
        return pd.DataFrame(shown | {f"largest SD for {seeds} seeds": needs["spread"].map(number)})
    return pd.DataFrame(
        shown
        | {"SD in the pilot": needs["spread"].map(number), "pilot seeds": needs["pilot_seeds"].astype(str)}
        | {"seeds to support": needs["seeds_to_support"].map(_count)}
        | {"seeds to refute": needs["seeds_to_refute"].map(_count)}
        | {f"power of {seeds}": list(map(_both, needs["power_to_support"], needs["power_to_refute"]))}
        | {"attack worked": needs["success"].map(number), "runs an arm": needs["runs_an_arm"].map(_count)}
    )


def _name(measure: str) -> str:
    return LABELS.get(measure, measure.replace("_", " "))


def _both(support: float, refute: float) -> str:
    return f"{support:.2f}, {refute:.2f}" if support == support else MISSING


def _count(seeds: float) -> str:
    return MISSING if seeds != seeds else "too many" if seeds == float("inf") else f"{seeds:.0f}"
