"""Interference: balanced classes, disjoint images, and zero where nothing is learned."""

import pytest
import torch
from intertwine.analysis import PanelOptions, load
from intertwine.analysis.panel.evaluation_data import evaluation_data
from intertwine.analysis.panel.readings.interference import grams_of
from intertwine.checkpoints.shipped import index
from intertwine.probes.alignment import align, step_effect
from intertwine.probes.gradients import WHOLE
from intertwine.probes.interference import (
    balanced_weights,
    benign_and_backdoor,
    each_weight_alike,
    interference_blocks,
    log_odds_loss,
    without_clean_part,
)
from intertwine.probes.linear import ridge_head
from intertwine.probes.planted import planted_gradients
from intertwine.representations.capture import capture
from intertwine.representations.encoders import FEATURES, reinitialised
from intertwine.representations.errors import InputError


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


def test_a_step_effect_is_of_the_whole_gradients():
    rows = torch.randn(12, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    g_and_h = rows[[0, 1, 2, 3, 8, 9, 10, 11]]
    torch.testing.assert_close(benign_and_backdoor(rows @ rows.T), g_and_h @ g_and_h.T)


def test_a_step_effect_is_the_ratio_of_what_both_tasks_gain():
    """Planted gradients of equal length: the effect is the cosine, and intervals cover it."""
    for cosine in (-0.5, 0.0, 0.8):
        effects = [step_effect(gram) for gram in planted_gradients(cosine, seed=1, draws=100)]
        values = torch.tensor([e.value for e in effects])
        assert float(values.mean()) == pytest.approx(cosine, abs=0.05)
        covered = [e.interval[0] <= cosine <= e.interval[1] for e in effects if e.status == "ok"]
        assert sum(covered) / len(covered) > 0.9
    assert step_effect(torch.zeros(8, 8, dtype=torch.float64)).status == "not_estimable"


def interference(run, encoder):
    """I over all weights in the panel's own setting."""
    e = run.experiment
    on, options = (e.test.images, e.test.labels, e.test_trigger, e.plan.target), PanelOptions(seed=e.recipe.seed)
    data = evaluation_data(*on, options, bank=(e.train.images, e.train.labels))
    bank = capture(encoder, data.bank, layers=[FEATURES])[FEATURES]
    head, columns = ridge_head(bank, data.bank_labels, 10), torch.arange(10)
    return align(grams_of(encoder, [data.trigger], data, head, columns)[0][WHOLE])


TWINS = [name for name in index() if name.startswith("digits-") and name.endswith("-benign")]


@pytest.mark.parametrize("name", TWINS)
def test_a_benign_twin_reads_zero(name):
    """Under waves, blends, patches and a change of chroma."""
    run = load(f"zoo:{name}", device="cpu")
    assert abs(interference(run, run.encoder).value) < 0.15


@pytest.mark.parametrize("name", ["digits-simclr-sig-benign", "digits-supervised-patch-benign"])
def test_random_networks_read_zero(name):
    run = load(f"zoo:{name}", device="cpu")
    found = [interference(run, reinitialised(run.encoder, seed=seed)).value for seed in range(3)]
    assert max(map(abs, found)) < 0.15


def test_every_weight_counts_alike():
    """Two layers with cosines .8 and .2, of 30 and 10 weights, and gradients of any length: (30·.8 + 10·.2)/40."""
    rows = {
        name: torch.cat([g.expand(5, 2), (torch.tensor([c, (1 - c**2) ** 0.5]) * size).expand(5, 2)]).double()
        for name, c, size, g in (("a", 0.8, 3.0, torch.tensor([1.0, 0])), ("b", 0.2, 0.1, torch.tensor([70.0, 0])))
    }
    whole = each_weight_alike({name: x @ x.T for name, x in rows.items()}, {"a": 30, "b": 10})
    assert align(whole).value == pytest.approx(0.65)


@pytest.mark.parametrize("cosine", [0.0, 0.6])
def test_intervals_cover_the_planted_cosine_after_the_clean_part_is_taken_out(cosine):
    """h = 1.5·h₀ + k, with h₀ at 60° to g, its own noise, and a planted cosine of g and k."""
    stream = torch.Generator().manual_seed(0)
    p, blocks, draws = 60, 24, 200

    def noisy(mean):
        return mean + 0.2 * torch.randn(draws, blocks, p, generator=stream, dtype=torch.float64)

    axes = torch.eye(p, dtype=torch.float64)
    g = axes[0]
    h0 = 0.5 * axes[0] + 0.75**0.5 * axes[1]
    away = axes[1] - (axes[1] @ h0) * h0  # in the plane of g and h₀, orthogonal to h₀
    away = away / away.norm()
    along = float(away @ g)  # cosine of g with that direction
    k = (cosine / along) * away + (1 - (cosine / along) ** 2) ** 0.5 * axes[2]
    rows = torch.cat([noisy(g), noisy(h0), noisy(1.5 * h0 + k)], 1)
    found = [align(without_clean_part(x @ x.T)) for x in rows]
    values = torch.tensor([a.value for a in found])
    assert float(values.mean()) == pytest.approx(cosine, abs=0.02)
    covered = [a.interval[0] <= cosine <= a.interval[1] for a in found if a.status == "ok"]
    assert len(covered) > 150
    assert 0.9 <= sum(covered) / len(covered) <= 1
