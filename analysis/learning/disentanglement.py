"""Weight disentanglement: does the backdoor's task vector change the classes of clean images?

After the weight disentanglement error of Ortiz-Jimenez, Favero and Frossard, "Task Arithmetic in the Tangent Space"
(NeurIPS 2023, arXiv 2305.12827), eq. 4; for backdoors of CLIP: arXiv 2510.14845. Of the two terms there, this is the
benign one. The backdoor's term needs a start that has features already, as CLIP has: without the benign vector our
networks are random. The benign vector goes from the initial weights to the benign twin, the backdoor's from the twin to
the poisoned encoder, which has the same initial weights.
"""

import pandas as pd
import torch
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
    """Disagreement on clean images over the grid of scales α (benign vector) and β (backdoor's).

    At (α, β): share of clean images whose class is not that at (α, 0). ``disentanglement_error`` is the mean over the
    grid, in [0, 1]. 0: the backdoor's vector changes no clean image. Reference ``random-direction``: a random vector
    with the same norm in each parameter.
    """
    start, own_start = (load_snapshot(r.checkpoint, 0)[0].to(benign.encoder.mean.device) for r in (benign, run))
    twin, poisoned = benign.encoder, run.encoder
    ends = {"": poisoned, "random-direction": moved_at_random(twin, (twin, poisoned), seed=run.label.seed)}
    tables = []
    for reference, end in ends.items():
        reading = undefined("expected the initial weights of the benign twin, received others")
        if _same(start, own_start):
            reading = _error(start, twin, end, rates, batches)
        tables.append(build_rows(run.label, {WHOLE: reading}, measure="disentanglement_error", reference=reference))
    return pd.concat(tables, ignore_index=True)


def _same(a: Encoder, b: Encoder) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def _error(start: Encoder, twin: Encoder, end: Encoder, rates: Rates, batches: list[Tensor]) -> Reading:
    def classes(alpha: float, beta: float) -> Tensor:
        encoder = with_task_vectors(start, [(start, twin, alpha), (twin, end, beta)])
        return rates.classes(reset_statistics(encoder, batches))[0]

    errors = []
    for alpha in SCALES:
        alone = classes(alpha, 0.0)
        errors += [float((classes(alpha, beta) != alone).double().mean()) for beta in SCALES]
    note = f"{len(errors)} points; BatchNorm statistics computed again; kNN"
    return Reading(sum(errors) / len(errors), n=len(rates.test), note=note)
