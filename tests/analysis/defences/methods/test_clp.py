"""CLP: channels whose Lipschitz bound stands out are cut."""

import torch
from intertwine.analysis.defences import clp

from tests.factories import same, small_encoder, state


def test_it_cuts_the_channel_that_amplifies_and_no_other():
    e = small_encoder(16, 16).eval()
    before = state(e)
    with torch.no_grad():
        e.backbone.layer2[0].conv1.weight[5] *= 30
    loud = state(e)
    pruned = clp(e, u=6.0)  # untrained layers have chance outliers beyond 3
    assert same(loud, state(e)), "the encoder itself stays"
    weight = pruned.backbone.layer2[0].conv1.weight
    assert not weight[5].any()
    assert pruned.backbone.layer2[0].bn1.weight[5] == 0
    differ = [n for n, x in pruned.state_dict().items() if not torch.equal(x, before[n])]
    assert differ == ["backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1.weight"]
    assert torch.equal(weight[:5], before["backbone.layer2.0.conv1.weight"][:5])


def test_it_leaves_an_encoder_without_outliers_as_it_is():
    e = small_encoder(16, 16).eval()
    assert same(state(clp(e, u=20)), state(e))
