"""Weight disentanglement: can the backdoor's task vector be scaled without a change of the benign task, and vice versa?

Ortiz-Jimenez, Favero and Frossard, "Task Arithmetic in the Tangent Space" (NeurIPS 2023, arXiv 2305.12827), eq. 4; for
backdoors of CLIP: arXiv 2510.14845. The benign vector goes from the initial weights to the benign twin, the backdoor's
from the twin to the poisoned encoder, which has the same initial weights.
"""

import pandas as pd
from torch import Tensor

from ...checkpoints.store import load_snapshot
from ...probes.gradients import WHOLE
from ...probes.weight_space import moved_at_random, reset_statistics, with_task_vectors
from ...representations.encoders import Encoder
from ..results.reading import Reading, undefined
from ..results.row import build_rows
from ..runs.run import Run
from .paths import Rates

__all__ = ["measure_disentanglement"]

SCALES = (0.5, 0.75, 1.0)


def measure_disentanglement(run: Run, benign: Run, rates: Rates, batches: list[Tensor]) -> pd.DataFrame:
    """ξ over the grid of scales α (benign vector) and β (backdoor's), beside that of a random vector of equal norm.

    At (α, β): the mean of two disagreements. On clean images: classes at (α, β) against those at (α, 0). On triggered
    ones: whether they are sent to the target at (α, β) against at (1, β). ``disentanglement_error`` is the mean over
    the grid. 0: each vector changes its own task only. Reference ``random-direction``: the backdoor's vector is
    replaced by a random one with the same norm in each parameter.
    """
    start = load_snapshot(benign.checkpoint, 0)[0].to(benign.encoder.mean.device)
    twin, poisoned = benign.encoder, run.encoder
    ends = {"": poisoned, "random-direction": moved_at_random(twin, (twin, poisoned), seed=run.label.seed)}
    tables = []
    for reference, end in ends.items():
        reading = _error(start, twin, end, rates, batches) if _fits(start, twin) else undefined("other initial weights")
        tables.append(build_rows(run.label, {WHOLE: reading}, measure="disentanglement_error", reference=reference))
    return pd.concat(tables, ignore_index=True)


def _fits(start: Encoder, twin: Encoder) -> bool:
    return start.spec == twin.spec


def _error(start: Encoder, twin: Encoder, end: Encoder, rates: Rates, batches: list[Tensor]) -> Reading:
    def classes(alpha: float, beta: float) -> tuple[Tensor, Tensor]:
        encoder = with_task_vectors(start, [(start, twin, alpha), (twin, end, beta)])
        on_clean, on_triggered = rates.classes(reset_statistics(encoder, batches))
        return on_clean, on_triggered == rates.target

    found = {(alpha, beta): classes(alpha, beta) for alpha in SCALES for beta in (0.0, *SCALES)}
    errors = []
    for alpha in SCALES:
        for beta in SCALES:
            clean, triggered = found[alpha, beta]
            on_clean = (clean != found[alpha, 0.0][0]).double().mean()
            on_triggered = (triggered != found[1.0, beta][1]).double().mean()
            errors.append(float(on_clean + on_triggered) / 2)
    note = f"{len(errors)} points; BatchNorm statistics computed again; kNN"
    return Reading(sum(errors) / len(errors), n=len(rates.test), note=note)
