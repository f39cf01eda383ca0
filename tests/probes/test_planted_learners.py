"""Gradient alignment on planted learners: real networks and images whose tasks share as many weights as a dial says."""

import pytest
import torch
from intertwine.probes import align, block_gradients, gradient_blocks, gram_matrices
from intertwine.probes.gradients import WHOLE
from intertwine.probes.planted import planted_gradients, planted_learner, read_learner
from intertwine.representations import InputError, wrap
from torch import nn

from tests.factories import images


def mean_gradients(sharing: float, n: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """By parameter, not by layer, as float64."""
    learner = planted_learner(sharing, n, seed)
    names = {name: [name] for name, p in learner.encoder.backbone.named_parameters() if p.ndim > 1}
    found = []
    for loss, trigger in ((learner.benign, None), (learner.backdoor, learner.trigger)):
        g = block_gradients(learner.encoder, loss, [torch.arange(n)], learner.images, transform=trigger, weights=names)
        found.append({name: x[0].double() for name, x in g.items()})
    return found[0], found[1]


def test_the_tasks_share_what_the_dial_says():
    """Disjoint weights at 0; no part of the second branch at 1; between them, parts of s and √(1 − s²)."""
    for sharing in (0.0, 0.6, 1.0):
        g, h = mean_gradients(sharing, 400)
        for name, x in g.items():
            assert (float(x.norm()) > 0) == name.startswith("shared.")
        ours = sum(float(x.square().sum()) for name, x in h.items() if name.startswith("shared."))
        rest = sum(float(x.square().sum()) for name, x in h.items() if name.startswith("private."))
        assert ours / (ours + rest) == pytest.approx(sharing**2, abs=1e-6)


@pytest.mark.parametrize("sharing", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_dial_is_the_cosine(sharing):
    assert read_learner(sharing, 2000).value == pytest.approx(sharing, abs=0.015)
    assert read_learner(sharing, 2000, classes=2).value == pytest.approx(sharing, abs=0.1)


def test_disjoint_tasks_read_zero_and_copies_one():
    apart, one = read_learner(0.0, 1000), read_learner(1.0, 1000)
    assert apart.status == one.status == "ok"
    assert apart.value == 0
    assert apart.interval == (0, 0)
    assert one.interval[0] < 1.02
    assert one.interval[1] > 0.98


def test_the_trigger_opens_the_path_that_the_clean_image_does_not_take():
    learner = planted_learner(0.5, 20)
    x = learner.images.float() / 255
    with torch.no_grad():
        clean, triggered = learner.encoder(x), learner.encoder(learner.trigger(x))
    assert torch.equal(clean[:, :6], triggered[:, :6])
    assert bool((clean[:, 6:] == 0).all())
    assert bool((triggered[:, 6:] != 0).any(1).all())


def test_replicates_are_seeded_and_differ():
    first, again, other = (planted_learner(0.5, 30, seed) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    weights = [learner.encoder.backbone.shared.conv1.weight for learner in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    state = torch.random.get_rng_state()
    planted_learner(0.5, 30)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("n", "least"), [(120, 0.85), (300, 0.97)])
def test_the_reading_follows_the_dial(n, least):
    """AUC between a quarter and three quarters; the median rises with each step."""
    seeds = range(10 if n == 120 else 6)
    read = {s: [read_learner(s, n, seed) for seed in seeds] for s in (0.25, 0.5, 0.75)}
    values = {s: torch.tensor([a.value for a in found], dtype=torch.float64) for s, found in read.items()}
    low, high = (values[s][values[s].isfinite()] for s in (0.25, 0.75))
    assert float((high[:, None] > low).double().mean()) >= least
    medians = [float(v.nanmedian()) for v in values.values()]
    assert medians == sorted(medians)
    few = sum(a.status == "ok" for a in read[0.5])
    assert few <= 5 if n == 120 else few >= 4  # sixty images of either task are said not to be enough


def test_a_sharing_that_is_no_share_is_named():
    with pytest.raises(InputError, match=r"sharing: expected a share from 0 to 1, received 1\.5"):
        planted_learner(1.5, 40)
    with pytest.raises(InputError, match="classes: expected at least 2, received 1"):
        planted_learner(0.5, 40, classes=1)
    with pytest.raises(InputError, match="cosine, shared, rank: expected"):
        planted_gradients(0.5, rank=80, p=60)


def test_planted_gradients_have_the_cosine_and_the_noise():
    """Over many blocks: means of length 1 at the cosine, noise of the length asked for, shared as asked for."""
    matrix = planted_gradients(0.6, blocks=1500, noise=2.0, rank=30, shared=0.25)[0]
    gg, gh, hh = matrix[:1500, :1500], matrix[:1500, 1500:], matrix[1500:, 1500:]
    off = 1500 * 1499
    assert [float((m.sum() - m.trace()) / off) for m in (gg, hh, gh)] == pytest.approx([1, 1, 0.6], abs=0.08)
    assert [float(m.trace()) / 1500 for m in (gg, hh)] == pytest.approx([5, 5], abs=0.3)
    assert float(gh.trace()) / 1500 == pytest.approx(0.6 + 0.25 * 4, abs=0.2)


class TwoBranches(nn.Module):
    """Two tasks on disjoint parameters: each branch makes its own half of the features."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(192, 4), nn.Linear(192, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.left(x.flatten(1)), self.right(x.flatten(1))], 1)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("left", "left", 1.0), ("left", "right", 0.0), ("left", "-left", -1.0)]
)
def test_copies_disjoint_tasks_and_a_task_and_its_undoing(first, second, expected):
    torch.manual_seed(0)
    encoder = wrap(TwoBranches())
    x, blocks = images(96), gradient_blocks(96)

    def loss(task):
        columns = slice(0, 4) if "left" in task else slice(4, 8)
        return lambda features, index: (-1 if "-" in task else 1) * features[:, columns].square().mean()

    g, h = (block_gradients(encoder, loss(task), blocks, x) for task in (first, second))
    grams = gram_matrices(g, h)
    assert WHOLE in grams
    for matrix in grams.values():
        a = align(matrix)
        assert a.status == "ok"
        assert a.value == pytest.approx(expected, abs=1e-5)
