"""Matched ASR: weaken the test trigger until half of the triggered images reach the target.

Hits of an arm whose backdoor always works, and hits of one whose backdoor works half the time, are different kinds of
images. At the same ASR they are comparable.
"""

from dataclasses import replace

import pandas as pd

from ...probes.gradients import WHOLE
from ...representations.encoders import FEATURES
from ...training.triggers import Trigger
from ..panel import PanelOptions
from ..panel.reading_sets import ReadingSet
from ..results.measures import IS_BACKDOORED, MIDDLE, PRIMARY, RATES
from ..results.reading import Reading, undefined
from ..results.row import build_rows
from ..results.schema import DEFAULT_EVALUATOR
from ..results.table import final_rows
from ..runs.measurement import measure_run
from ..runs.run import Run
from .paths import Rates, point_rows

__all__ = ["ASR_LEVEL", "matched_rows", "measure_matched"]

ASR_LEVEL = 0.5
STEPS, HALVINGS = 10, 4
CHOSEN = ReadingSet(
    frozenset({*RATES, *PRIMARY}),
    references=frozenset({"benign", "together", "false-positives"}),
    layers=(MIDDLE, FEATURES),
)


def measure_matched(run: Run, benign: Run, rates: Rates, *, most: int = PanelOptions.images) -> pd.DataFrame:
    """The primary readings, and those of the benign twin, at the weakest test trigger that reaches an ASR of .5.

    The strength rises in tenths of the run's test strength until ASR is reached; the last tenth is halved four times.
    The multiple found is ``matched_strength``, and the ``x`` of the panel's rows, which are of the kind ``matched``.
    Rates at the strengths tried are points of the path ``strength``. If full strength is not enough, the readings are
    undefined.

    Args:
        most: number of images of the test set and of the bank, as in ``rates``: ASR is then the same in both.
    """
    tried: dict[float, tuple[float, float]] = {}

    def reaches(multiple: float) -> bool:
        tried[multiple] = replace(rates, trigger=_trigger(run, multiple))(run.encoder)
        return tried[multiple][1] >= ASR_LEVEL

    found = next((i / STEPS for i in range(1, STEPS + 1) if reaches(i / STEPS)), None)
    if found is not None:
        step = 1 / STEPS
        for _ in range(HALVINGS):
            step /= 2
            found = found - step if reaches(found - step) else found
    points = sorted(tried)
    path = point_rows(run, "strength", points, [tried[x] for x in points])
    if found is None:
        highest = max(asr for _, asr in tried.values())
        nothing = undefined(f"expected ASR to reach {ASR_LEVEL:g}, received {highest:.3f}")
        missing = [
            build_rows(
                run.label, {where["layer"]: nothing}, kind="matched", x=1.0, measure=measure, subset=where["subset"]
            )
            for measure, where in PRIMARY.items()
        ]
        strength = build_rows(run.label, {WHOLE: nothing}, measure="matched_strength")
        return pd.concat([path, strength, *missing], ignore_index=True)
    reading = Reading(found, n=len(rates.test), note=f"ASR {ASR_LEVEL:g}")
    strength = build_rows(run.label, {WHOLE: reading}, measure="matched_strength")
    options = PanelOptions(CHOSEN, images=most, bank=most, evaluator=DEFAULT_EVALUATOR)  # as in ``rates``
    panel = measure_run(run, benign, options, trigger=_trigger(run, found))
    panel = panel[panel["kind"] != "confusion"].assign(kind="matched", x=found)
    return pd.concat([path, strength, panel], ignore_index=True)


def matched_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The readings at matched ASR among the rows of a study, as claims take readings. Whether a run is backdoored is
    decided at full strength. Empty if no ASR was matched."""
    matched = rows[(rows["kind"] == "matched") & (rows["measure"] != IS_BACKDOORED)]
    if matched.empty:
        return matched
    final = final_rows(rows)
    outcomes = final[(final["measure"] == IS_BACKDOORED) & final["run"].isin(matched["run"])]
    return pd.concat([matched.assign(kind="reading"), outcomes], ignore_index=True)


def _trigger(run: Run, multiple: float) -> Trigger:
    recipe = run.experiment.recipe
    return recipe.replace(test_strength=run.experiment.test_trigger.strength * multiple).make_trigger(test=True)
