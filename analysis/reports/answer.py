"""The answer first: whether the backdoor works, where its readings lie between their two ends, and one sentence."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ...representations.errors import InputError
from ...training.arms import ARMS
from ..claims.cells import backdoored_text, effect, runs_of
from ..claims.learning_claims import STATEMENTS, judge
from ..claims.verdicts import PARTS, Part
from ..results.measures import IS_BACKDOORED, MIDDLE, RATES
from ..results.schema import EVALUATOR_TITLES
from ..results.table import by_deciding_evaluator, final_rows
from ..runs.foreign_encoder import verdict_line
from .cautions import cautions
from .claims_tables import by_contrast
from .claims_tables import in_short as verdicts_in_short
from .formatting import MISSING, number
from .labels import LABELS
from .primary_lines import primary_lines
from .readings_table import middle_layer, shown_rows
from .text_table import text_table, wrap

__all__ = ["answer", "in_short", "verdict_lines"]

LINES = 25
OTHERS = {"benign": "twin", "random-init": "random weights"}
"""What ASR is compared with, in this order."""
ALL_STATEMENTS = STATEMENTS | {"C4": "the arms differ"}
OUTCOMES = ("apart", "together", "not apart", "open", "missing")


def in_short(rows: pd.DataFrame) -> str:
    """One sentence, by the registered rules alone: the margins of claims C2 and C3, and their gates.

    Of one run, each reading of C2 has an outcome. It is *apart* if its part of C2 holds, and *together* if its part of
    C3 holds. It is *not apart* if its part of C2 fails. Else it does not decide. With one run the 90 % intervals over
    its images decide. Of several runs the verdicts are counted.

    Args:
        rows: of one run or several, as a panel or a study returns them, snapshots included.
    """
    rows = _with_middle(rows)
    if len(rows.drop_duplicates(["arm", "seed"])) != 1:
        found = [f"{name} is {verdicts}" for (name,), verdicts in verdicts_in_short(_shown(judge(rows)), by=["claim"])]
        return f"In short: {'; '.join(found) or 'no claim is about these arms'}."
    arm = str(rows["arm"].iloc[0])
    if not _is_poisoned(arm):
        return "In short: this encoder was trained without poison, so it has no backdoor to judge."
    if not _worked(rows):
        return "In short: the backdoor is not shown to work, so no reading is evidence of entanglement."
    of: dict[str, list[str]] = {outcome: [] for outcome in OUTCOMES}
    for measure, outcome in _outcomes(rows, arm).items():
        of[outcome].append(LABELS[measure])
    decided = [f"{outcome} by {_listed(of[outcome])}" for outcome in OUTCOMES[:3] if of[outcome]]
    said = [f"benign task and backdoor are {', '.join(decided)}" if decided else "no reading decides"]
    if decided and of["open"]:
        said.append(f"{_listed(of['open'])} {'does' if len(of['open']) == 1 else 'do'} not decide")
    if of["missing"]:
        said.append(f"there is no valid {_listed(of['missing'])}")
    return f"In short: {'; '.join(said)}; one run is indicative only."


def _outcomes(rows: pd.DataFrame, arm: str) -> dict[str, str]:
    """Each reading of C2 → one of :data:`OUTCOMES`. C3 has a ratio of mixing where C2 has mixing itself."""
    runs = runs_of(rows)

    def outcome(part: Part) -> str:
        found = effect(runs, part.measure, {arm: 1.0})
        return part.outcome(found) if not found.why or found.value == found.value else "missing"

    together = {part.measure.replace("mixing_ratio", "smaller_side_mixing"): outcome(part) for part in PARTS["C3"]}
    words = {}
    for part in PARTS["C2"]:
        apart = outcome(part)
        if apart == "pass":
            words[part.measure] = "open" if together.get(part.measure) == "pass" else "apart"
        elif together.get(part.measure) == "pass":
            words[part.measure] = "together"
        else:
            words[part.measure] = "not apart" if apart == "fail" else apart
    return words


def answer(rows: pd.DataFrame, width: int = 80) -> str:
    """At most 25 lines of at most ``width`` columns.

    Of one run: what it is; whether its backdoor works, by which evaluator, beside the benign twin; each primary with
    its interval on a strip from *apart* to *together*; :func:`in_short`. Of several: a line an arm, and a line a
    registered verdict.

    Args:
        rows: as in :func:`in_short`. The numbers of one run are all among them.
        width: 80 or more columns.

    Raises:
        InputError: there are no rows.
    """
    if rows.empty:
        raise InputError("rows: expected those of one run or more, received none")
    if len(rows.drop_duplicates(["arm", "seed"])) == 1:
        final = _with_middle(final_rows(rows))
        last = [in_short(rows), *_claim(rows)]
        blocks = [[*_what(final), *_backdoor(final)], primary_lines(final, width), last]
        if _count(blocks, width) > LINES:
            blocks = [[*_what(final), *_backdoor(final, careful=False)], primary_lines(final, width, notes=False), last]
    else:
        claims = _shown(judge(_with_middle(rows)))
        stated = [f"{name}: {text}." for name, text in ALL_STATEMENTS.items() if (claims["claim"] == name).any()]
        blocks = [_arms(rows, width), [*verdict_lines(claims), " ".join(stated), in_short(rows)]]
    blocks = [block for block in blocks if block]
    between = "\n\n" if _count(blocks, width) + len(blocks) <= LINES - 4 else "\n"  # a command adds four lines
    return between.join("\n".join(part for line in block for part in _fitted(line, width)) for block in blocks)


def verdict_lines(claims: pd.DataFrame) -> list[str]:
    """A line a claim and contrast, with its verdict; ``claims`` as :func:`..claims.judge` returns them."""
    lines = [(c.claim, _contrast(c.arm, c.against), c.verdict) for c in by_contrast(claims).itertuples()]
    longest = max((len(contrast) for _, contrast, _ in lines), default=0)
    return [f"{claim}  {contrast:{longest}}  {verdict}" for claim, contrast, verdict in lines]


def _shown(claims: pd.DataFrame) -> pd.DataFrame:
    """A line a contrast: of registered claims, or of exploratory ones where no other is."""
    lines = by_contrast(claims)
    registered = lines[lines["family"] == "registered"]
    return registered if len(registered) else lines


def _contrast(arm: object, against: object) -> str:
    return f"{arm} against {against}" if against else str(arm)


def _count(blocks: Sequence[Sequence[str]], width: int) -> int:
    return sum(len(_fitted(line, width)) for block in blocks for line in block)


def _fitted(line: str, width: int) -> list[str]:
    return [line] if len(line) <= width else wrap(line, width)


def _with_middle(rows: pd.DataFrame) -> pd.DataFrame:
    """The middle layer of other networks under the name that claims know."""
    return rows.assign(layer=rows["layer"].mask(rows["layer"] == middle_layer(rows), MIDDLE))


def _is_poisoned(arm: str) -> bool:
    return ARMS[arm].is_poisoned if arm in ARMS else True


def _own(rows: pd.DataFrame, measure: str, reference: str = "") -> Any:
    """The row of a measure, or ``None``."""
    found = rows[(rows["measure"] == measure) & (rows["reference"] == reference) & (rows["kind"] == "reading")]
    return None if found.empty else found.iloc[-1]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _what(rows: pd.DataFrame) -> list[str]:
    first = rows.iloc[0]
    name = f"{first['arm']}, seed {first['seed']}" if first["arm"] in ARMS else f"{first['run']}, a foreign encoder"
    recipe = f", recipe {first['recipe']}" if first["recipe"] else ""
    epochs = f", {first['epoch']:g} epochs" if first["epoch"] == first["epoch"] else ""
    accuracy, shown = _own(rows, "acc"), shown_rows(rows)
    hits = shown[(shown["subset"] == "hits") & (shown["reference"] == "")]["n"]
    counts = [] if accuracy is None else [f"{accuracy['n']} held-out images for the rates"]
    counts += [f"{hits.max()} hits for the readings"] if len(hits) else []
    return [f"{name}{recipe}{epochs}.", *([f"{', '.join(counts)}."] if counts else [])]


def _backdoor(rows: pd.DataFrame, *, careful: bool = True) -> list[str]:
    """Whether it works, the rates of every evaluator, and what a reader must know of them."""
    rates = rows[rows["measure"].isin(RATES) & (rows["kind"] == "reading")]
    other = next((name for name in OTHERS if (rates["reference"] == name).any()), "")
    rate = {
        (r["measure"], r["reference"], r["evaluator"]): float(r["value"])
        for r in rates[rates["status"] == "ok"].to_dict("records")
    }

    def with_other(measure: str, evaluator: str) -> str:
        beside = rate.get((measure, other, evaluator), math.nan) if other else math.nan
        return number(rate[measure, "", evaluator]) + (f" ({number(beside)})" if math.isfinite(beside) else "")

    by = [e for e in EVALUATOR_TITLES if ("asr", "", e) in rate]
    lines = [verdict_line(rows) if _is_poisoned(str(rows["arm"].iloc[0])) else "Trained without poison."]
    if by:
        asr = ", ".join(f"{e} {with_other('asr', e)}" for e in by)
        lines.append(f"ASR{f' ({OTHERS[other]})' if other else ''}: {asr}.")
    decides = by_deciding_evaluator(rates)["evaluator"]
    if len(decides) and decides.iloc[0] in by:
        e = decides.iloc[0]
        told = ", ".join(f"{LABELS[m]} {with_other(m, e)}" for m in ("acc", "r_acc") if (m, "", e) in rate)
        lines.append(f"{_capital(EVALUATOR_TITLES[e])} decides what a hit is: {told}.")
        if careful:
            run = f"{rows['run'].iloc[0]}: "
            lines += [_capital(line.removeprefix(run)) for line in cautions(rates)]
    return [line for line in lines if line]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _claim(rows: pd.DataFrame) -> list[str]:
    """The verdict on the claim about this arm, if there is one, and what is missing for it."""
    claims = judge(_with_middle(rows))
    if claims.empty or not _worked(rows):
        return []
    first = claims.iloc[0]
    if first["verdict"] != "not evaluable":
        return [f"Claim {first['claim']}, {first['statement']}: {first['verdict']}."]
    [run] = runs_of(_with_middle(rows))[first["arm"]].values()
    of_parts = claims[claims["part"] != "beside"]
    reasons = [run.readings[m].why or why for m, why in zip(of_parts["measure"], of_parts["why"], strict=True)]
    why = "; ".join(reason.replace("_", " ") for reason in dict.fromkeys(filter(None, reasons)))
    return [f"Claim {first['claim']}, {first['statement']}: not evaluable ({why})."]


def _worked(rows: pd.DataFrame) -> bool:
    found = _own(final_rows(rows), IS_BACKDOORED)
    return found is not None and bool(found["value"] > 0)


def _arms(rows: pd.DataFrame, width: int) -> list[str]:
    """A table with one line an arm: in how many seeds the attack worked, and means over seeds whose reading is ok."""
    final, runs = _with_middle(final_rows(rows)), runs_of(_with_middle(rows))
    shown = shown_rows(final)
    shown = shown[(shown["status"] == "ok") & (~shown["measure"].isin(RATES) | shown["decides"].astype(bool))]
    means = shown.groupby(["arm", "measure", "reference"])["value"].mean().to_dict()

    def mean(arm: str, measure: str, reference: str = "") -> str:
        return number(means.get((arm, measure, reference), math.nan))

    lines = []
    for arm in sorted(set(final["arm"]), key=lambda a: (list(ARMS).index(a) if a in ARMS else len(ARMS), a)):
        worked = backdoored_text(runs, {arm: 1.0}) if _is_poisoned(arm) else MISSING
        rates = mean(arm, "acc"), mean(arm, "asr"), mean(arm, "asr", "benign")
        lines.append([arm, worked, *rates, *(mean(arm, part.measure) for part in PARTS["C2"])])
    columns = ["arm", "worked", "ACC", "ASR", "twin", *(LABELS[part.measure] for part in PARTS["C2"])]
    return text_table(columns, lines, width).splitlines()
