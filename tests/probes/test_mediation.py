"""Mediation follows what is planted, and other dials do not move its ends."""

from itertools import pairwise

import pytest
import torch
from intertwine.probes.mediation import Patched, class_subspace, mediation, within_directions
from intertwine.probes.patching import patch
from intertwine.representations import InputError, capture

from tests.factories import case, hooks, randn, stream
from tests.probes.planted_worlds import mediated, rate, world


def test_it_rises_with_the_share_that_runs_through_the_class_branch():
    found = [mediated(world(m)) for m in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for scores in ([rate(m.forward.own) for m in found], [rate(m.reverse.own) for m in found]):
        assert all(a < b for a, b in pairwise(scores))
        assert scores[0] < 0.05
        assert scores[-1] > 0.95
    excess = [rate(m.forward.excess) for m in found]
    assert abs(excess[0]) < 0.05
    assert excess[-1] > 0.85


@pytest.mark.parametrize("dials", [{"noise": 0.5}, {"n": 250}, {"bank": 400}, {"imbalance": 3.0}, {"width": 96}])
def test_other_dials_do_not_move_its_ends(dials):
    with case(dials):
        assert rate(mediated(world(0.0, **dials)).forward.own) < 0.05
        assert rate(mediated(world(1.0, **dials)).forward.own) > 0.94


def test_behind_the_stage_at_which_the_branches_meet_all_is_shared():
    assert rate(mediated(world(0.0), "layer2").forward.own) < 0.05
    for layer in ("layer3", "features"):
        assert rate(mediated(world(0.0), layer).forward.own) > 0.95


def test_the_ends_are_the_same_intervention_with_clean_sources():
    w = world(0.5)
    p = w.network
    hits = p.images[w.hits][:60]
    of_target = p.images[~w.others]
    sent_there = w.predict(capture(p.encoder, of_target)["features"]) == p.target
    of_target = of_target[sent_there][:30].repeat(2, 1, 1, 1)
    found = mediation(
        *(p.encoder, hits, p.trigger(hits), {"layer2": w.bank["layer2"]}, p.bank_labels, w.predict, p.target),
        sources={"together": of_target, "apart": p.images[w.others][-60:]},
    )["layer2"]
    assert rate(found.ends["together"].own) > 0.9
    assert rate(found.ends["apart"].own) < 0.1
    u = class_subspace(w.bank["layer2"], p.bank_labels)
    by_hand = w.predict(patch(p.encoder, "layer2", of_target, hits, subspace=u)) == p.target
    assert torch.equal(found.ends["together"].own, by_hand.double())
    by_hand = w.predict(patch(p.encoder, "layer2", hits.float() / 255, p.trigger(hits), subspace=u)) != p.target
    assert torch.equal(found.reverse.own, by_hand.double())
    assert found.forward.random.shape == (3, 60)
    assert (found.rank, found.d) == (9, 48)
    assert hooks(p.encoder) == 0


def test_it_depends_on_the_seed_only_through_the_random_subspaces():
    w = world(0.5)
    p, hits = w.network, w.network.images[w.hits][:40]
    args = p.encoder, hits, p.trigger(hits), {"layer1": w.bank["layer1"]}, p.bank_labels, w.predict, p.target
    a, b, c = (mediation(*args, seed=seed)["layer1"] for seed in (0, 0, 1))
    assert torch.equal(a.forward.own, c.forward.own)
    assert torch.equal(a.forward.random, b.forward.random)


def test_the_class_subspace_holds_all_differences_of_class_means():
    labels = torch.arange(60) % 4
    bank = randn(0, 4, 9)[labels] + 0.1 * randn(1, 60, 9)
    u = class_subspace(bank, labels)
    assert u.shape == (9, 3)
    torch.testing.assert_close(u.T @ u, torch.eye(3, dtype=u.dtype))
    means = torch.stack([bank[labels == c].mean(0) for c in range(4)])
    differences = means - means[0]
    torch.testing.assert_close(differences @ u @ u.T, differences)
    torch.testing.assert_close(class_subspace(bank + 100, labels) @ u.T @ u, class_subspace(bank, labels) @ u.T @ u)


def test_the_class_subspace_is_smaller_than_the_layer():
    labels = torch.arange(60) % 6
    assert class_subspace(randn(0, 60, 4), labels).shape == (4, 3)
    flat = torch.cat([randn(0, 60, 1), torch.zeros(60, 3)], 1)
    assert class_subspace(flat, labels).shape == (4, 1)


def test_random_directions_have_the_covariance_inside_the_classes():
    labels = torch.arange(400) % 4
    spread = torch.tensor([2.0, 1.0, 0.5, 0.0], dtype=torch.float64)
    bank = 10 * randn(0, 4, 4)[labels] + randn(1, 400, 4) * spread
    drawn = within_directions(bank, labels, 20000, stream())
    torch.testing.assert_close(drawn.square().mean(1).sqrt(), spread, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"triggered": torch.zeros(3, 3, 24, 24)}, "triggered: expected images"),
        ({"sources": {"apart": torch.zeros(2, 3, 24, 24)}}, "source apart: expected images"),
        ({"draws": 0}, "draws: expected at least one"),
        ({"layer": "layer9"}, "layer: expected one of stem"),
        ({"clean": torch.zeros(0, 3, 24, 24), "triggered": torch.zeros(0, 3, 24, 24)}, "clean: expected images"),
        ({"bank": torch.zeros(5, 48)}, "bank, labels: expected"),
        ({"bank": torch.ones(1000, 48)}, "class means that differ"),
    ],
)
def test_wrong_input_is_refused(changed, says):
    w = world(0.5)
    p = w.network
    clean = changed.get("clean", p.images[:4])
    bank = {changed.get("layer", "layer2"): changed.get("bank", w.bank["layer2"])}
    more = {k: v for k, v in changed.items() if k in ("sources", "draws")}
    triggered = changed.get("triggered", p.trigger(clean))
    with pytest.raises(InputError, match=says):
        mediation(p.encoder, clean, triggered, bank, p.bank_labels, w.predict, p.target, **more)
    assert hooks(p.encoder) == 0


def test_corrected_for_random_subspaces_it_is_flat_where_the_excess_is_not():
    narrow, wide = (mediated(world(1.0, width=width)).forward for width in (16, 96))
    assert rate(wide.excess) - rate(narrow.excess) > 0.15
    assert wide.corrected == pytest.approx(narrow.corrected, abs=0.05)
    assert abs(mediated(world(0.0)).forward.corrected) < 0.05
    same = Patched(torch.ones(5), torch.ones(3, 5))
    assert same.corrected != same.corrected
