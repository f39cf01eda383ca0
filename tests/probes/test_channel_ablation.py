"""Ablation of channels finds the planted ones, and loses what depends on them only."""

import pytest
import torch
from intertwine.probes.channel_ablation import ablate_channels, ranked_channels
from intertwine.representations import InputError

from tests.factories import hooks, randn
from tests.probes.planted_worlds import rate, world


def ablated(sharing, **options):
    w = world(sharing)
    p = w.network
    triggered, of_target = p.trigger(p.images[w.hits][:100]), p.images[~w.others]
    bank = w.bank["layer2"], p.bank_labels
    return ablate_channels(
        *(p.encoder, "layer2", triggered, of_target, bank, w.bank_triggered["layer2"], w.predict, p.target), **options
    )


def test_separate_branches_do_not_need_each_others_channels():
    found = ablated(0.0, share=1 / 48)
    p = world(0.0).network
    assert found.trigger_channels.tolist() == [p.own_channel]
    assert found.class_channels.tolist() == [p.target]
    assert found.shared == 0
    by_trigger, by_class, *random = (rate(x) for x in found.asr_lost)
    assert by_trigger > 0.9
    assert by_class < 0.05
    by_trigger, by_class, *random = (rate(x) for x in found.recall_lost)
    assert by_trigger < 0.05
    assert by_class > 0.8
    assert max(abs(x) for x in random) < 0.1


def test_one_branch_needs_the_same_channel_for_both():
    found = ablated(1.0, share=1 / 48)
    assert found.shared == 1
    assert min(rate(found.asr_lost[0]), rate(found.recall_lost[0])) > 0.8
    assert found.asr_lost.shape == (5, 100)


def test_channels_are_ranked_in_standard_deviations():
    labels = torch.arange(100) % 2
    clean = randn(0, 100, 4) * torch.tensor([1.0, 10.0, 1.0, 0.0], dtype=torch.float64)
    clean[:, 2] += 5 * labels
    triggered = clean + torch.tensor([2.0, 5.0, 0.0, 0.0], dtype=torch.float64)
    by_trigger, by_class = ranked_channels(clean, triggered, labels, 1)
    assert by_trigger.tolist()[:2] == [0, 1]
    assert by_class[0] == 2
    assert by_class[-1] == 3
    # A channel that only the trigger moves has no standard deviation, and comes first.
    triggered[:, 3] += 1e-3
    assert ranked_channels(clean, triggered, labels, 1)[0][0] == 3
    # Moves in both directions count.
    swings = clean + torch.where(labels.bool(), 1.0, -1.0).unsqueeze(1) * torch.tensor([3.0, 0, 0, 0]).double()
    assert ranked_channels(clean, swings, labels, 1)[0][0] == 0


def test_wrong_input_is_refused():
    w = world(1.0)
    with pytest.raises(InputError, match="share, draws"):
        ablated(1.0, share=0.0)
    with pytest.raises(InputError, match="share, draws"):
        ablated(1.0, draws=0)
    clean = w.bank["layer2"]
    with pytest.raises(InputError, match="expected 99 and another class"):
        ranked_channels(clean, clean, w.network.bank_labels, 99)
    with pytest.raises(InputError, match="\\(m, d\\), \\(m, d\\), \\(m,\\)"):
        ranked_channels(clean, clean[:, :3], w.network.bank_labels, 3)
    assert hooks(w.network.encoder) == 0
