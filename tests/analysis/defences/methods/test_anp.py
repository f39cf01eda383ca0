"""ANP: scales of batch normalisation that an adversary moves are cut."""

import pytest
import torch
from intertwine.analysis.defences import anp
from intertwine.representations import wrap
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import halves
from tests.factories import same, state


def test_it_cuts_scales_and_nothing_else(backdoored):
    b = backdoored
    before = state(b.encoder)
    pruned = anp(b.encoder, b.clean, b.clean_labels, steps=100)
    acc, asr = b.rates(pruned)
    assert asr < 0.9, "the evaluators are fitted anew, so that not all of it goes"
    assert acc > 0.9
    after = state(pruned)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    norms = {n for n, m in pruned.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert changed
    assert changed <= {f"{name}.weight" for name in norms}
    for name in changed:
        moved = after[name] != before[name]
        assert not after[name][moved].any()
        assert not moved.all()
    assert same(before, state(b.encoder))


def test_it_stops_where_acc_falls(backdoored):
    b = backdoored
    careful = anp(b.encoder, b.clean, b.clean_labels, steps=5, drop=-1.0)
    assert same(state(careful), state(b.encoder)), "no fall is allowed: every step is taken back"


def test_what_it_refuses():
    flat = wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4)), layers={})
    with pytest.raises(InputError, match="encoder: expected batch normalisation in it, received none"):
        anp(flat, *halves())
