"""The cells of a crossed study: learner × poison, with success rates and the primaries between their two ends."""

import pandas as pd

from ...representations.encoders import FEATURES
from ...representations.evaluators import EVALUATORS
from ...training.arms import ARMS
from ..claims.cells import Runs, backdoored_text, effect, runs_of
from ..results.measures import PRIMARY
from ..results.schema import NATIVE
from ..results.table import final_rows
from .formatting import MISSING, interval, number
from .labels import LABELS

__all__ = ["cells_table"]

ENDS = ("apart", "together")


def cells_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a poisoned arm, all as text: means over seeds.

    ACC is by kNN; ASR by every evaluator over all seeds, with the benign twin's in brackets. The primaries are those of
    the claims, over backdoored seeds: the mean, its 95 % interval, and in brackets the means of both ends.
    """
    final, runs = final_rows(rows), runs_of(rows)
    arms = [arm for arm, kind in ARMS.items() if kind.poisons_data and arm in runs]
    return pd.DataFrame(_line(arm, final[final["arm"] == arm], runs) for arm in arms)


def _line(arm: str, final: pd.DataFrame, runs: Runs) -> dict[str, str]:
    plain = final[(final["kind"] == "reading") & (final["layer"] == FEATURES)]
    line = {"arm": arm, "backdoored": backdoored_text(runs, {arm: 1.0})}
    line["ACC"] = number(_mean(plain[plain["evaluator"] == "knn"], "acc"))
    for evaluator in (*EVALUATORS, NATIVE):
        of = plain[plain["evaluator"] == evaluator]
        line[f"ASR, {evaluator}"] = f"{number(_mean(of, 'asr'))} ({number(_mean(of, 'asr', 'benign'))})"
    return line | {LABELS.get(name, name): _primary(name, arm, final, runs) for name in PRIMARY}


def _primary(name: str, arm: str, final: pd.DataFrame, runs: Runs) -> str:
    found = effect(runs, name, {arm: 1.0})
    if found.value != found.value:
        return MISSING
    own = final[(final["measure"] == name) & (final["kind"] == "reading")]
    for column, place in PRIMARY[name].items():
        own = own[own[column] == place]
    used = own[(own["reference"] == "") & (own["status"] == "ok")]["seed"]
    ends = "; ".join(number(_mean(own[own["seed"].isin(used)], name, end)) for end in ENDS)
    text = f"{number(found.value)} {interval(*found.interval95)} ({ends})"
    return text.replace(f" {MISSING} ", " ")  # one seed has no interval


def _mean(rows: pd.DataFrame, measure: str, reference: str = "") -> float:
    of = rows[(rows["measure"] == measure) & (rows["reference"] == reference) & (rows["status"] == "ok")]
    return float(of["value"].mean())
