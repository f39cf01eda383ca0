"""Curves of ACC and ASR: windowed rates, the half-time gap and the coupling of the two."""

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
"""Share of the epochs, at the end, over which a final rate is averaged: ASR swings from epoch to epoch."""

RISE = {"acc": 0.03, "asr": 0.3}
"""The least rise of a rate for which a half-time is defined."""


def half_time_gap(history: pd.DataFrame, start: Mapping[str, float], steps: int) -> Reading:
    """Steps from the start to halfway to the final ASR, minus those to halfway to the final ACC.

    It is positive where the backdoor is learned later. The final rate is the windowed one (:func:`windowed`), and
    halfway is counted from ``start``. Between two epochs a curve is interpolated linearly.

    Args:
        history: columns epoch, acc and asr; epochs without a rate are left out. start: acc and asr before training.
        steps: steps in an epoch.

    Returns:
        The gap in steps, undefined where ACC does not rise by .03 (digits begin at .90) or ASR by .3.
    """
    halves = {}
    for name, least in RISE.items():
        known = history.dropna(subset=[name])
        x = np.concatenate([[0.0], known["epoch"].to_numpy(dtype=float)]) * steps
        y = np.concatenate([[start[name]], known[name].to_numpy(dtype=float)])
        end = windowed(history, name).value
        if not end - y[0] >= least:
            return undefined(f"expected {name} to rise by {least:g}, received {y[0]:.3f} to {end:.3f}")
        half = (y[0] + end) / 2
        i = int(np.argmax(y >= half))  # the first epoch at or above; never 0, where the start is
        halves[name] = x[i - 1] + (x[i] - x[i - 1]) * (half - y[i - 1]) / (y[i] - y[i - 1])
    note = f"steps; ACC at {halves['acc']:.4g}, ASR at {halves['asr']:.4g}"
    return Reading(float(halves["asr"] - halves["acc"]), note=note)


def windowed(history: pd.DataFrame, name: str) -> Reading:
    """Mean of a rate over the last tenth of the epochs; the note has their number and standard deviation."""
    known = history.dropna(subset=[name])
    window = known[known["epoch"] > history["epoch"].max() * (1 - WINDOW)][name].to_numpy(dtype=float)
    return Reading(float(window.mean()), note=f"mean of {len(window)} epochs; SD {window.std():.4g}")


def dynamics_coupling(histories: Mapping[int, pd.DataFrame]) -> tuple[dict[int, Reading], Reading]:
    """Correlation of the changes of ACC and ASR from epoch to epoch, for each seed, and its null.

    Two rising curves always correlate. The null is therefore ACC of one seed with ASR of another, over all pairs.

    Args:
        histories: seed → columns epoch, acc, asr; the same epochs in every seed.

    Returns:
        seed → reading, undefined where a curve is constant or has fewer than 4 points; the mean of the null, with the
        interval over the seeds' means.

    Raises:
        InputError: the seeds have different numbers of epochs.
    """
    curves = {}
    for seed, history in histories.items():
        known = history.dropna(subset=["acc", "asr"]).sort_values("epoch")
        curves[seed] = (known["acc"].diff().to_numpy()[1:], known["asr"].diff().to_numpy()[1:])
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
    """:func:`dynamics_coupling` of every poisoned arm of a study, as rows of the kind ``coupling``.

    The null is the reference ``cross-seed`` of each seed.

    Args:
        history: the joined histories, columns run, arm, seed, epoch, acc, asr.
    """
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
