"""Interference: balanced classes, disjoint images, and zero where nothing is learned."""

import pytest
import torch
from intertwine.analysis import load_run
from intertwine.probes.alignment import align, step_effect
from intertwine.probes.gradients import WHOLE
from intertwine.probes.interference import (
    balanced_weights,
    interference_blocks,
    interference_grams,
    log_odds_loss,
    without_clean_part,
)
from intertwine.probes.linear import ridge_head
from intertwine.probes.planted import planted_gradients
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES, reinitialised
from intertwine.representations.errors import InputError

from tests.factories import case


def test_log_odds_are_those_of_the_softmax():
    scores, labels = torch.randn(6, 4, dtype=torch.float64), torch.arange(6) % 4
    p = scores.softmax(1).gather(1, labels[:, None]).squeeze(1)
    found = log_odds_loss(lambda x: x, labels)(scores, torch.arange(6))
    torch.testing.assert_close(found, -(p / (1 - p)).log().mean())
    weights = torch.arange(6.0) / 2.5
    weighted = log_odds_loss(lambda x: x, labels, weights)(scores, torch.arange(6))
    torch.testing.assert_close(weighted, -((p / (1 - p)).log() * weights).mean())


def test_linear_margins_of_balanced_classes_cancel_what_the_classes_share():
    """Scores that no image changes have no benign gradient, the target class included; without it they have."""
    labels = torch.tensor([0] * 2 + [1] * 3 + [2] * 5)
    shared = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for keep, zero in ((torch.arange(10), True), ((labels != 0).nonzero().flatten(), False)):
        weights = torch.ones(10, dtype=torch.float64)
        weights[keep] = balanced_weights(labels[keep]).double()
        loss = log_odds_loss(lambda _: shared.expand(len(keep), 3), labels, weights)  # noqa: B023
        gradient = torch.autograd.grad(loss(torch.zeros(len(keep), 1), keep), shared)[0]
        assert bool(gradient.abs().max() < 1e-7) is zero


def test_blocks_are_disjoint_and_spread_the_classes():
    labels = (torch.arange(400) ** 2) % 5
    benign, clean, triggered = interference_blocks(labels, 0, blocks=10, seed=3)
    used = torch.cat([*benign, *clean, *triggered])
    assert len(used.unique()) == len(used)
    assert not (labels[torch.cat([*clean, *triggered])] == 0).any()
    for task in (benign, clean, triggered):
        counts = torch.stack([labels[block].bincount(minlength=5) for block in task])
        assert int((counts.max(0).values - counts.min(0).values).max()) <= 1
    with pytest.raises(InputError, match="expected at least 16 for each task, received 8, "):
        interference_blocks(labels[:24], 0)


def test_what_clean_images_ask_for_is_taken_out():
    """h = 2h₀ + k: what is left is k, and an h₀ of zero changes nothing."""
    stream = torch.Generator().manual_seed(0)
    g, h0, k = torch.randn(3, 1, 50, generator=stream, dtype=torch.float64).expand(3, 6, 50)
    k = k - (k @ h0[0] / h0[0].square().sum())[:, None] * h0
    for clean, h in ((h0, 2 * h0 + k), (0 * h0, k)):
        rows = torch.cat([g, clean, h])
        expected = torch.cat([g, k])
        torch.testing.assert_close(without_clean_part(rows @ rows.T), expected @ expected.T)


def test_a_step_effect_is_the_ratio_of_what_both_tasks_gain():
    """Planted gradients of equal length: the effect is the cosine, and intervals cover it."""
    for cosine in (-0.5, 0.0, 0.8):
        effects = [step_effect(gram) for gram in planted_gradients(cosine, seed=1, draws=100)]
        values = torch.tensor([e.value for e in effects])
        assert float(values.mean()) == pytest.approx(cosine, abs=0.05)
        covered = [e.interval[0] <= cosine <= e.interval[1] for e in effects if e.status == "ok"]
        assert sum(covered) / len(covered) > 0.9
    assert step_effect(torch.zeros(8, 8, dtype=torch.float64)).status == "not_estimable"


def interference(run, encoder, trigger=None):
    e, bank = run.experiment, torch.arange(1000)
    features = capture(encoder, e.train.images[bank], layers=[FEATURES])[FEATURES]
    head = ridge_head(features, e.train.labels[bank], 10)
    images = e.test.images, e.test.labels, e.plan.target
    return align(interference_grams(encoder, head, *images, [trigger or e.test_trigger])[0][WHOLE])


def test_random_networks_read_zero():
    run = load_run("zoo:digits-simclr-sig-benign", device="cpu")
    found = [interference(run, reinitialised(run.encoder, seed=seed)).value for seed in range(8)]
    assert abs(sum(found) / len(found)) < 0.15
    assert max(map(abs, found)) < 0.35, "far from the ends, one by one"


def test_benign_twins_read_zero():
    """Under a wave, a blend and a patch: on average within .15, and none is significantly farther off."""
    names = ("simclr-sig", "supcon-sig", "supervised-sig", "simclr-blend", "supervised-blend", "supervised-patch")
    runs = [load_run(f"zoo:digits-{name}-benign", device="cpu") for name in names]
    found = [interference(run, run.encoder) for run in runs]
    assert abs(sum(a.value for a in found) / len(found)) < 0.15
    for name, a in zip(names, found, strict=True):
        with case(name, a.value, a.interval):
            assert a.interval[0] < 0.15
            assert a.interval[1] > -0.15
