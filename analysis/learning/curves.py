"""What the curves of ACC and ASR report of a run: windowed rates, the half-time gap and their coupling."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from ...probes.gradients import WHOLE
from ...probes.nulls import t_interval
from ...representations.errors import InputError
from ...training.arms import ARMS
from ..results.reading import Reading, undefined
from ..results.row import RunLabel, build_row, table_of

__all__ = ["RISE", "coupling_rows", "dynamics_coupling", "half_time_gap", "windowed"]

WINDOW = 0.1
"""Share of the epochs, the last ones, that a final rate is averaged over: ASR swings from epoch to epoch."""


RISE = {"acc": 0.03, "asr": 0.3}
"""What a rate must rise by, to have a time at which half of it was learned."""


def half_time_gap(history: pd.DataFrame, start: Mapping[str, float], steps: int) -> Reading:
    """Steps from the start to halfway to the final ASR, minus those to halfway to the final ACC.

    Positive: the backdoor is learned later. Between two readings a curve is taken to be straight; "final" is the
    windowed rate (:func:`windowed`), and the half is that of the way from ``start``.

    Args:
        history: columns epoch, acc and asr; rows without a reading are left out. start: acc and asr before training.
        steps: an epoch.

    Returns:
        Undefined where ACC does not rise by .03 (digits begin at .90) or ASR by .3.
    """
    halves = {}
    for name, least in RISE.items():
        read = history.dropna(subset=[name])
        x = np.concatenate([[0.0], read["epoch"].to_numpy(dtype=float)]) * steps
        y = np.concatenate([[start[name]], read[name].to_numpy(dtype=float)])
        end = windowed(history, name).value
        if not end - y[0] >= least:
            return undefined(f"expected {name} to rise by {least:g}, received {y[0]:.3f} to {end:.3f}")
        half = (y[0] + end) / 2
        i = int(np.argmax(y >= half))  # the first at or above; 0 only if the start were
        halves[name] = x[i - 1] + (x[i] - x[i - 1]) * (half - y[i - 1]) / (y[i] - y[i - 1])
    note = f"steps; ACC at {halves['acc']:.4g}, ASR at {halves['asr']:.4g}"
    return Reading(float(halves["asr"] - halves["acc"]), note=note)


def windowed(history: pd.DataFrame, name: str) -> Reading:
    """Mean of a rate over the last tenth of the epochs, of those that were computed; the note has how many and their
    spread."""
    read = history.dropna(subset=[name])
    inside = read[read["epoch"] > history["epoch"].max() * (1 - WINDOW)][name].to_numpy(dtype=float)
    return Reading(float(inside.mean()), note=f"mean of {len(inside)} epochs; SD {inside.std():.4g}")


def dynamics_coupling(histories: Mapping[int, pd.DataFrame]) -> tuple[dict[int, Reading], Reading]:
    """Do ACC and ASR rise in the same epochs? Correlation of their first differences, one value a seed; and the same of
    ACC of one seed with ASR of another, all pairs: the null, since two rising curves always correlate.

    Args:
        histories: seed → columns epoch, acc, asr, all of the same epochs.

    Returns:
        seed → reading, undefined where a curve does not move or has fewer than 4 points; the null's mean with the
        interval of its seeds' means.
    """
    curves = {}
    for seed, history in histories.items():
        read = history.dropna(subset=["acc", "asr"]).sort_values("epoch")
        curves[seed] = (read["acc"].diff().to_numpy()[1:], read["asr"].diff().to_numpy()[1:])
    if len({len(acc) for acc, _ in curves.values()}) > 1:
        raise InputError("histories: expected ACC and ASR of the same epochs in every seed")
    own = {seed: _correlation(acc, asr) for seed, (acc, asr) in curves.items()}
    crossed = {
        i: [_correlation(acc, asr).value for j, (_, asr) in curves.items() if j != i] for i, (acc, _) in curves.items()
    }
    means = torch.tensor([float(np.nanmean(v)) for v in crossed.values() if v and not np.isnan(v).all()])
    if not len(means):
        return own, undefined("expected at least two seeds whose ACC and ASR move")
    return own, Reading(float(means.mean()), t_interval(means), len(means), note="ACC of one seed, ASR of another")


def coupling_rows(history: pd.DataFrame) -> pd.DataFrame:
    """:func:`dynamics_coupling` of every poisoned arm in the joined histories of a study (columns run, arm, seed,
    epoch, acc, asr), as rows of the kind ``coupling``; the null is the reference ``cross-seed`` of each seed."""
    rows = []
    for arm, of_arm in history.groupby("arm", sort=False):
        if not ARMS[str(arm)].is_poisoned or of_arm["seed"].nunique() < 2:
            continue
        own, null = dynamics_coupling({int(str(seed)): h for seed, h in of_arm.groupby("seed")})
        for seed, reading in own.items():
            label = RunLabel(f"{arm}/seed{seed}", str(arm), seed, of_arm["epoch"].max())
            where = {"kind": "coupling", "layer": WHOLE, "measure": "dynamics_coupling"}
            rows.append(build_row(label, reading, **where))
            rows.append(build_row(label, null, **where, reference="cross-seed"))
    return table_of(rows)


def _correlation(a: np.ndarray, b: np.ndarray) -> Reading:
    if len(a) < 3:
        return undefined(f"expected at least 4 epochs with ACC and ASR, received {len(a) + 1}")
    if a.std() < 1e-12 or b.std() < 1e-12:
        return undefined("a curve does not move")
    return Reading(float(np.corrcoef(a, b)[0, 1]), n=len(a))
