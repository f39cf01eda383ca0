"""How a run learned: readings along its snapshots, and what its curves of ACC and ASR say.

The loss of an arm is its own, so that losses of different arms are not comparable; ACC, ASR and the common yardstick of
gradient alignment are.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...checkpoints.store import load_snapshot, snapshot_epochs
from ...probes.alignment import same_task
from ...probes.gradients import WHOLE, block_gradients, gradient_blocks, gram_matrices, own_loss
from ...probes.nulls import t_interval
from ...representations.capture import evaluating
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...representations.seeds import generator
from ...training.model import build_objective
from ...training.poison import ARMS
from ...training.triggers import Trigger
from ..panel.encoder_readings import BLOCKS, MOST_IN_GRADIENTS, alignment_reading
from ..panel.readings import Reading, undefined
from ..results.table import COLUMNS, DEFAULT_EVALUATOR, format_params
from ..runs.measurement import measure_run
from ..runs.run import Run
from ..runs.side_tables import HISTORY, gather
from .paths import reading_row, reading_rows

__all__ = [
    "coupling_rows",
    "dynamics_coupling",
    "half_time_gap",
    "measure_dynamics",
    "own_alignment",
    "own_alignment_ends",
    "windowed",
]

WINDOW = 0.1
"""Share of the epochs, the last ones, that a final rate is averaged over: ASR swings from epoch to epoch."""

RISE = {"acc": 0.03, "asr": 0.3}
"""What a rate must rise by, to have a time at which half of it was learned."""


def measure_dynamics(
    run: Run,
    benign: Run | None = None,
    *,
    most: int = 2000,
    most_bank: int = 5000,
    evaluator: str = DEFAULT_EVALUATOR,
    panel_at_end: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Rows along training: the cheap panel and the alignment of the run's own losses at each snapshot, and from the
    history the rank of the poisons' loss, the windowed rates and the half-time gap.

    The benign twin is read at the same epoch of its own training. Rates from the history are by kNN, whatever
    ``evaluator``.

    Args:
        panel_at_end: of the last snapshot too, which is the trained encoder: whoever has measured that has its rows.
    """
    epochs, tables = snapshot_epochs(run.checkpoint.path), []
    for epoch in epochs:
        log(f"{run.name}: epoch {epoch} of {epochs[-1]}")
        if panel_at_end or epoch < epochs[-1]:
            panel = measure_run(
                run, benign, readings="cheap", most=most, most_bank=most_bank, evaluator=evaluator, epoch=epoch
            )
            tables.append(panel)
        for reference, other in (("", run), ("benign", benign)):
            if other is not None:
                found = own_alignment(run, other, epoch)
                tables.append(reading_rows(run, found, "own_gradient_alignment", epoch=epoch, reference=reference))
    history = gather([run.checkpoint.path], HISTORY)
    steps_an_epoch = len(run.experiment.train) // run.experiment.recipe.batch
    start = tables[0]
    first = {
        name: float(start[(start["measure"] == name) & (start["reference"] == "")]["value"].iloc[0]) for name in RISE
    }
    last = int(history["epoch"].iloc[-1])
    gap = half_time_gap(history, first, steps_an_epoch)
    tables.append(reading_rows(run, {WHOLE: gap}, "half_time_gap", epoch=last))
    for name in ("acc", "asr", "r_acc"):
        tables.append(reading_rows(run, {WHOLE: windowed(history, name)}, f"{name}_windowed", epoch=last))
    ranked = history.dropna(subset=["loss_rank_auc"])
    for epoch, rank in zip(ranked["epoch"].tolist(), ranked["loss_rank_auc"].tolist(), strict=True):
        tables.append(reading_rows(run, {WHOLE: Reading(rank)}, "loss_rank_auc", epoch=epoch))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def own_alignment(run: Run, other: Run, epoch: int) -> dict[str, Reading]:
    """Split-half corrected cosine of the gradients of ``other``'s own loss on ``run``'s poisons with the trigger and on
    the same images without it, by layer: one augmentation, frozen negatives, heads as they were then.

    The benign side has the images' true labels, the backdoor side those that the run learns. ``other`` is the run
    itself or its benign twin.
    """
    if why := _unreadable(run, other):
        return {WHOLE: undefined(why)}
    grams = _own_grams(run, other, epoch, run.experiment.train_trigger)
    return {layer: alignment_reading(gram, _images(run)) for layer, gram in grams.items()}


def own_alignment_ends(run: Run, epoch: int) -> dict[str, dict[str, Reading]]:
    """What :func:`own_alignment` of the run is held against: ``random-trigger``, the same loss on the same images with
    a trigger that nobody was trained on, and ``together``, both tasks one, by permutation (see
    :func:`.alignment.same_task`)."""
    trigger, seed = run.experiment.train_trigger, run.experiment.recipe.seed
    if why := _unreadable(run, run):
        return {reference: {WHOLE: undefined(why)} for reference in ("random-trigger", "together")}
    own, other = (_own_grams(run, run, epoch, t) for t in (trigger, trigger.variant(0)))
    n = _images(run)
    together = {layer: same_task(gram, seed=seed) for layer, gram in own.items()}
    return {
        "random-trigger": {layer: alignment_reading(gram, n) for layer, gram in other.items()},
        # Its expectation is exactly 1; the draws say what a 1 looks like through this noise.
        "together": {
            k: Reading(1.0, end.interval, n, end.status, "note=by permutation") for k, end in together.items()
        },
    }


def _images(run: Run) -> int:
    return min(len(run.experiment.plan.indices(run.experiment.arm)), MOST_IN_GRADIENTS)


def _unreadable(run: Run, other: Run) -> str:
    """Why there is no own alignment, if there is none: states of the data, not mistakes of the user."""
    method = other.experiment.arm.learner
    if not _images(run):
        return "expected poisons, received a clean arm"
    if method not in ("supervised", "supcon", "simclr"):
        return f"there is no loss of single images with frozen negatives for {method}"
    try:
        _blocks(run)
    except InputError as error:  # too few poisons
        return str(error)
    return ""


def _blocks(run: Run) -> list[Tensor]:
    poisons = len(run.experiment.plan.indices(run.experiment.arm))
    return gradient_blocks(poisons, blocks=BLOCKS, most=MOST_IN_GRADIENTS, seed=run.experiment.recipe.seed)


def _own_grams(run: Run, other: Run, epoch: int, trigger: Trigger) -> dict[str, Tensor]:
    """Inner products of the block gradients of :func:`own_alignment`, by layer."""
    e, method = run.experiment, other.experiment.arm.learner
    index = e.plan.indices(e.arm)
    encoder, head = load_snapshot(other.checkpoint, epoch)
    device = other.encoder.mean.device
    encoder = encoder.to(device)
    objective = build_objective(e.recipe, method, encoder, len(e.train.classes)).to(device)
    objective.load_state_dict(head)
    seed, augment = e.recipe.seed, e.recipe.augment()
    views = 1 if method == "supervised" else 2

    def seen(images: Tensor, purpose: str) -> Tensor:
        """Views of each image in a row, the same draws for both versions of them."""
        return torch.stack([augment(images, generator(seed, purpose, v)) for v in range(views)], 1)

    clean = e.train.images[index].float() / 255
    x = torch.cat([seen(clean, "own-loss"), seen(trigger(clean), "own-loss")])  # rows n + i: image i with the trigger
    n = len(index)
    labels = torch.cat([e.train.labels[index], e.labels[index]])
    bank, bank_labels = _bank(encoder, run, seen) if views == 2 else (None, None)
    loss = own_loss(objective, labels, bank=bank, bank_labels=bank_labels)  # type: ignore[arg-type]
    blocks = _blocks(run)

    def with_trigger(features: Tensor, index: Tensor) -> Tensor:
        return loss(features, index + n)

    return gram_matrices(
        block_gradients(encoder, loss, blocks, x[:n]), block_gradients(encoder, with_trigger, blocks, x[n:])
    )


def _bank(encoder: Encoder, run: Run, seen: Callable[[Tensor, str], Tensor]) -> tuple[Tensor, Tensor]:
    """Features and labels of the views of as many clean images as a batch has: the negatives, frozen."""
    e = run.experiment
    others = (~e.mask).nonzero().flatten()
    stream = generator(e.recipe.seed, "own-loss-bank")
    index = others[torch.randperm(len(others), generator=stream)[: e.recipe.batch]]
    with torch.inference_mode(), evaluating(encoder):
        features = encoder(seen(e.train.images[index].float() / 255, "own-loss-bank").flatten(0, 1).to(encoder.mean))
    return features.clone(), e.labels[index].repeat_interleave(2)


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
    params = format_params(acc_half=float(halves["acc"]), asr_half=float(halves["asr"]), unit="steps")
    return Reading(float(halves["asr"] - halves["acc"]), params=params)


def windowed(history: pd.DataFrame, name: str) -> Reading:
    """Mean of a rate over the last tenth of the epochs, of those that were read; the params have how many and their
    spread."""
    read = history.dropna(subset=[name])
    inside = read[read["epoch"] > history["epoch"].max() * (1 - WINDOW)][name].to_numpy(dtype=float)
    return Reading(float(inside.mean()), params=format_params(epochs=len(inside), sd=float(inside.std())))


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
    return own, Reading(float(means.mean()), t_interval(means), len(means), params=format_params(pairs="ACC_i, ASR_j"))


def coupling_rows(history: pd.DataFrame) -> pd.DataFrame:
    """:func:`dynamics_coupling` of every poisoned arm in the joined histories of a study (columns run, arm, seed,
    epoch, acc, asr), as rows; the null is the reference ``cross-seed`` of each seed."""
    rows = []
    for arm, of_arm in history.groupby("arm", sort=False):
        if not ARMS[str(arm)].is_poisoned or of_arm["seed"].nunique() < 2:
            continue
        own, null = dynamics_coupling({int(str(seed)): h for seed, h in of_arm.groupby("seed")})
        for seed, reading in own.items():
            about = {"run": f"{arm}/seed{seed}", "arm": arm, "seed": seed, "epoch": of_arm["epoch"].max()}
            rows += [reading_row(about, WHOLE, "dynamics_coupling", "", reading)]
            rows += [reading_row(about, WHOLE, "dynamics_coupling", "cross-seed", null)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _correlation(a: np.ndarray, b: np.ndarray) -> Reading:
    if len(a) < 3:
        return undefined(f"expected at least 4 epochs with ACC and ASR, received {len(a) + 1}")
    if a.std() < 1e-12 or b.std() < 1e-12:
        return undefined("a curve does not move")
    return Reading(float(np.corrcoef(a, b)[0, 1]), n=len(a))
