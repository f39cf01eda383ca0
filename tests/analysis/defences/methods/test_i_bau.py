"""I-BAU: adversarial unlearning with an implicit hypergradient."""

import pytest
import torch
from intertwine.analysis.defences import ibau
from intertwine.analysis.defences.methods.i_bau import _hypergradient


def test_a_planted_backdoor_goes_and_the_classes_stay(must_repair, backdoored):
    b = backdoored
    must_repair(*(lambda n=n: ibau(b.encoder, b.clean, b.clean_labels, rounds=n) for n in (7, 1)))


def test_the_hypergradient_by_hand():
    """Risk ½aδ² + bδ over (a, b): the ascent step from δ is δ + r(aδ + b); with k products of its Jacobian 1 + ra the
    derivative of ½(L(δ) + L(0)) through δ is the geometric series."""
    a = torch.tensor(-0.5, requires_grad=True)
    b = torch.tensor(2.0, requires_grad=True)
    delta, rate, rounds = torch.tensor(0.3), 0.1, 4

    def risk(d, index):
        return 0.5 * a * d**2 + b * d

    found = _hypergradient(risk, delta, torch.tensor([0]), [a, b], rate, rounds)
    by_delta = 0.5 * (a.item() * 0.3 + b.item())
    series = sum((1 + rate * a.item()) ** k for k in range(rounds + 1)) * by_delta
    assert float(found[0]) == pytest.approx(0.5 * 0.5 * 0.3**2 + rate * 0.3 * series, rel=1e-5)
    assert float(found[1]) == pytest.approx(0.5 * 0.3 + rate * series, rel=1e-5)
