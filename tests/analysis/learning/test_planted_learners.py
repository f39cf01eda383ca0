"""Readings of learning on planted learners: two tasks on disjoint weights are judged apart, two copies of one task on
the same weights together. (Gradient alignment of the same learners: tests/probes/test_planted_learners.py.)"""

import math

import pandas as pd
import pytest
import torch
from intertwine.analysis.learning.curves import dynamics_coupling
from intertwine.probes.forgetting import forgetting_coupling, walk
from intertwine.probes.nulls import t_interval
from intertwine.probes.planted import _Branch, planted_learner

IMAGES, EPOCHS, BATCH, SEEDS = 160, 15, 40, 5


def rates(learner, x, triggered):
    """Shares of images whose loss is below that of a coin: two classes, so that these are accuracies."""
    index = torch.arange(len(x))

    def right(loss, images):
        each = torch.vmap(lambda feature, i: loss(feature[None], i[None]))(learner.encoder(images), index)
        return float((each < math.log(2)).double().mean())

    with torch.no_grad():
        return right(learner.benign, x), right(learner.backdoor, triggered)


def learned(sharing: float, seed: int):
    """A learner trained on both tasks at once, and its curves."""
    learner = planted_learner(sharing, IMAGES, seed)
    stream = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1000 + seed)  # a start of its own: as a copy of the other branch it would learn in its step
        for mine, fresh in zip(learner.encoder.backbone.private.parameters(), _Branch().parameters(), strict=True):
            mine.copy_(fresh)
    x = learner.images.float() / 255
    triggered = learner.trigger(x)
    optimiser = torch.optim.SGD(learner.encoder.parameters(), lr=0.005, momentum=0.9)
    curve = [(0, *rates(learner, x, triggered))]
    for epoch in range(1, EPOCHS + 1):
        for part in torch.randperm(IMAGES, generator=stream).split(BATCH):
            optimiser.zero_grad()
            benign, backdoor = learner.encoder(x[part]), learner.encoder(triggered[part])
            (learner.benign(benign, part) + learner.backdoor(backdoor, part)).backward()
            optimiser.step()
        curve.append((epoch, *rates(learner, x, triggered)))
    return learner, pd.DataFrame(curve, columns=["epoch", "acc", "asr"])


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["apart", "together"])
def planted(request):
    """Sharing, and learners by seed."""
    return request.param, {seed: learned(request.param, seed) for seed in range(SEEDS)}


def test_both_tasks_were_learned(planted):
    for _, curve in planted[1].values():
        assert curve.iloc[0][["acc", "asr"]].max() < 0.8
        assert curve.iloc[-1][["acc", "asr"]].min() > 0.95


def test_coupling_of_curves_is_told_from_its_null_only_where_one_task_is_two(planted):
    sharing, learners = planted
    own, null = dynamics_coupling({seed: curve for seed, (_, curve) in learners.items()})
    values = torch.tensor([reading.value for reading in own.values()], dtype=torch.float64)
    low, high = t_interval(values - null.value)
    if sharing == 1:
        assert low > 0.2
        assert values.min() > 0.9
    else:
        assert low < 0 < high
    assert null.value > 0.2, "two rising curves correlate: without the null both would pass for together"


def test_forgetting_takes_the_other_task_along_only_where_they_share_weights(planted):
    sharing, learners = planted
    for learner, _ in list(learners.values())[:3]:
        x = learner.images.float() / 255
        triggered = learner.trigger(x)
        weights = dict(learner.encoder.named_parameters())
        before = {name: p.detach().clone() for name, p in weights.items()}
        way = walk(
            weights.values(),
            lambda step, of=learner, z=triggered: -of.backdoor(of.encoder(z), torch.arange(IMAGES)),
            (0, 1, 2, 4, 8, 16, 32),
            lr=0.01,
        )
        acc, asr = zip(*(rates(learner, x, triggered) for _ in way), strict=True)
        coupling = forgetting_coupling(acc, asr, excess=asr[0] - 0.5)
        with torch.no_grad():
            for name, p in weights.items():
                p.copy_(before[name])
        assert coupling == pytest.approx(sharing, abs=0.25 if sharing else 1e-12)
