"""The cells of a crossed study: learner × poison, with success rates and the primaries between their two ends."""

import math

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

__all__ = ["cells_table", "primaries_of"]

ENDS = ("apart", "together")


def primaries_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The primaries of poisoned runs as the claims read them: of backdoored runs, where they are ``ok``. Interference
    is the mean over snapshots. Each comes with both ends in the same encoder, at the end of training.

    Columns: run, arm, seed, measure, reference, value, status.
    """
    final, lines = final_rows(rows), []
    final = final[(final["kind"] == "reading") & final["reference"].isin(ENDS)]
    for arm, seeds in _poisoned(runs_of(rows)).items():
        for seed, run in seeds.items():
            for name, place in PRIMARY.items():
                reading = run.readings[name]
                if not run.backdoored or reading.why:
                    continue
                about = {"run": f"{arm}/seed{seed}", "arm": arm, "seed": seed, "measure": name, "status": "ok"}
                lines.append(about | {"reference": "", "value": reading.value})
                of = final[(final["arm"] == arm) & (final["seed"] == seed) & (final["measure"] == name)]
                of = of[(of[list(place)] == pd.Series(place)).all(axis=1) & (of["status"] == "ok")]
                ends = of.drop_duplicates("reference")[["reference", "value"]].itertuples(index=False, name=None)
                lines += [about | {"reference": end, "value": value} for end, value in ends]
    columns = ["run", "arm", "seed", "measure", "reference", "value", "status"]
    return pd.DataFrame(lines, columns=columns)


def cells_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a poisoned arm, all as text: means over seeds.

    ACC is by kNN; ASR by every evaluator over all seeds, with the benign twin's in brackets. The primaries are those of
    :func:`primaries_of`: the mean, its 95 % interval over seeds, and in brackets the means of both ends.
    """
    final, runs, primaries = final_rows(rows), runs_of(rows), primaries_of(rows)
    return pd.DataFrame(
        {
            **_rates(arm, final[final["arm"] == arm], runs),
            **{LABELS.get(name, name): _primary(name, arm, primaries, runs) for name in PRIMARY},
        }
        for arm in _poisoned(runs)
    )


def _poisoned(runs: Runs) -> Runs:
    return {arm: runs[arm] for arm, kind in ARMS.items() if kind.poisons_data and arm in runs}


def _rates(arm: str, final: pd.DataFrame, runs: Runs) -> dict[str, str]:
    plain = final[(final["kind"] == "reading") & (final["layer"] == FEATURES) & (final["status"] == "ok")]

    def mean(measure: str, evaluator: str, reference: str = "") -> str:
        of = plain[(plain["measure"] == measure) & (plain["evaluator"] == evaluator)]
        return number(float(of[of["reference"] == reference]["value"].mean()))

    asr = {f"ASR, {e}": f"{mean('asr', e)} ({mean('asr', e, 'benign')})" for e in (*EVALUATORS, NATIVE)}
    return {"arm": arm, "backdoored": backdoored_text(runs, {arm: 1.0}), "ACC": mean("acc", "knn"), **asr}


def _primary(name: str, arm: str, primaries: pd.DataFrame, runs: Runs) -> str:
    of = primaries[(primaries["arm"] == arm) & (primaries["measure"] == name)]
    own = of[of["reference"] == ""]["value"]
    if own.empty:
        return MISSING
    ends = "; ".join(number(float(of[of["reference"] == end]["value"].mean())) for end in ENDS)
    low, high = effect(runs, name, {arm: 1.0}).interval95 if len(own) > 1 else (math.nan, math.nan)
    # Without an interval over seeds a claim does not read the cell either: of few seeds, or of half of them or less.
    spread = f" {interval(low, high)}" if math.isfinite(low) else f" ({len(own)} seed{'s' * (len(own) > 1)})"
    return f"{number(float(own.mean()))}{spread} ({ends})"
