"""Family C from features: do the backdoor and the benign task use the same directions?

The primary readings of the family need more than features: see :mod:`.interference` and :mod:`.interventions`.
"""

from collections.abc import Mapping

from torch import Tensor

from ....probes.erasure_cost import ErasureCost, erasure_cost
from ....probes.nulls import NO_INTERVAL, mean_interval
from ....representations.errors import InputError
from ...results.reading import Reading
from .reading import Entry, Features, Readings

__all__ = ["ENTRIES", "ERASURE"]

ERASURE = ("erasure_cost_acc", "erasure_cost_asr")


def _erased(f: Features) -> ErasureCost:
    """Erasure cost, computed once for the reading and its references."""
    if len(f.bank) == 0:
        raise InputError("bank: expected clean labelled features, received none")
    sets = f.clean, f.triggered, f.labels, f.target, f.bank, f.bank_labels
    return f.once("erasure", lambda: erasure_cost(*sets, seed=f.seed))


def _erasure(f: Features, subset: str) -> Readings:
    """Drops by the refitted kNN evaluator; the note has the drop by the fixed one."""
    f.need(subset)
    cost = _erased(f)
    found = {}
    for name, after, fixed in (
        ("erasure_cost_acc", cost.refitted.acc, cost.fixed.acc),
        ("erasure_cost_asr", cost.refitted.asr, cost.fixed.asr),
    ):
        # Each half of the images is scored by an eraser fitted on the other half.
        interval = mean_interval(after.differences, low=-1.0, folds=2) if f.intervals else NO_INTERVAL
        note = f"kNN, refitted; fixed evaluator {fixed.drop:.4g}; rank {cost.rank}"
        found[name] = Reading(after.drop, interval, len(after.before), note=note)
    return found


def _controls(kind: str, f: Features, subset: str) -> Readings:
    f.need(subset)
    cost = _erased(f)
    drops: Mapping[str, Tensor] = getattr(cost, kind)
    asr, acc = drops["refitted"].mean(0).tolist()
    note = f"mean of {len(drops['refitted'])} draws"
    size = len(cost.refitted.asr.before), len(cost.refitted.acc.before)
    return {
        "erasure_cost_asr": Reading(asr, n=size[0], note=note),
        "erasure_cost_acc": Reading(acc, n=size[1], note=note),
    }


ENTRIES = (
    Entry(
        ERASURE,
        ("triggered",),
        _erasure,
        nulls={
            "random-direction": lambda f, subset: _controls("noise", f, subset),
            "class-direction": lambda f, subset: _controls("between", f, subset),
        },
        standard="output",
    ),
)
