"""The trigger's direction: removing it takes the backdoor away, and adding it makes one."""

import pytest
import torch
from intertwine.probes.steering import ALPHAS, SHARES, steering, trigger_direction
from intertwine.representations import InputError

from tests.factories import hooks
from tests.probes.planted_worlds import world


def steered(w, layer, n=200):
    p = w.network
    x = p.images[:n]
    bank = w.bank[layer], w.bank_triggered[layer]
    return steering(p.encoder, layer, x, p.trigger(x), p.labels[:n], *bank, w.predict, p.target)


@pytest.mark.parametrize("layer", ["stem", "layer2", "features"])
def test_removing_lowers_asr_and_adding_raises_it(layer):
    w = world(0.0)
    ablation, added = steered(w, layer)
    assert [p.x for p in ablation] == list(SHARES)
    assert [p.x for p in added] == list(ALPHAS)
    assert ablation[0].asr == pytest.approx(w.asr, abs=0.05)
    assert ablation[0].acc == pytest.approx(w.acc, abs=0.05)
    assert ablation[-1].asr < 0.05
    falls, rises = [p.asr for p in ablation], [p.asr for p in added]
    assert falls == sorted(falls, reverse=True)
    assert rises == sorted(rises)
    assert added[0].asr < 0.05
    assert added[-1].asr > 0.95
    # At α = 1 the clean images have what the trigger adds on average.
    assert added[-2].asr == pytest.approx(w.asr, abs=0.1)
    assert added[0].n_asr == ablation[0].n_asr == int((w.network.labels[:200] != w.network.target).sum())
    assert ablation[0].n_acc == 200
    assert hooks(w.network.encoder) == 0


def test_removing_costs_accuracy_only_where_the_class_uses_the_direction():
    shared, separate = (steered(world(m), "layer2")[0] for m in (1.0, 0.0))
    assert separate[-1].acc > separate[0].acc - 0.02
    assert shared[-1].acc < shared[0].acc - 0.05


def test_wrong_input_is_refused():
    w = world(0.0)
    p = w.network
    x, bank = p.images[:4], (w.bank["layer2"], w.bank_triggered["layer2"])
    with pytest.raises(InputError, match="a class for each"):
        steering(p.encoder, "layer2", x, x, p.labels[:3], *bank, w.predict, p.target)
    with pytest.raises(InputError, match="other than the target"):
        steering(p.encoder, "layer2", x, x, torch.full((4,), p.target), *bank, w.predict, p.target)
    with pytest.raises(InputError, match="expected equal shapes"):
        trigger_direction(bank[0], bank[1][:3])
