"""A small encoder with a backdoor that works: four classes by the bright quarter, a white corner leads to class 0."""

from dataclasses import replace

import pytest
import torch
from intertwine.analysis.runs.run import load_run
from intertwine.representations.capture import capture
from intertwine.representations.evaluators import knn_predict
from torch.nn.functional import cross_entropy

from tests.factories import images, same, small_encoder, state, trained


def quarters(n, seed):
    x, labels = images(n, 16, seed, below=90), torch.arange(n) % 4
    for i, label in enumerate(labels.tolist()):
        row, column = divmod(label, 2)
        x[i, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 60
    return x, labels


def patched(x):
    x = x.clone()
    x[..., -3:, -3:] = 255 if x.dtype == torch.uint8 else 1.0
    return x


class Backdoored:
    def __init__(self):
        x, labels = quarters(240, 0)
        self.bad = torch.arange(240) % 5 == 1
        x[self.bad], labels[self.bad] = patched(x[self.bad]), 0
        self.images, self.labels = x, labels
        self.encoder = small_encoder(8, 16).train()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            head = torch.nn.Linear(self.encoder.dim, 4)
        optimiser = torch.optim.Adam([*self.encoder.parameters(), *head.parameters()], lr=3e-3)
        stream = torch.Generator().manual_seed(0)
        for _ in range(30):
            for index in torch.randperm(240, generator=stream).split(40):
                optimiser.zero_grad()
                cross_entropy(head(self.encoder(x[index])), labels[index]).backward()
                optimiser.step()
        self.encoder.eval()
        self.encoder.zero_grad(set_to_none=True)
        self.clean, self.clean_labels = quarters(80, 9)
        self.poisons = patched(quarters(8, 11)[0])

    def rates(self, encoder):
        """ACC and ASR, evaluators fitted anew."""
        (test, labels), (bank, bank_labels) = quarters(100, 5), quarters(120, 6)
        clean, triggered, known = (
            capture(encoder, x, layers=["features"])["features"] for x in (test, patched(test), bank)
        )
        right = knn_predict(clean, known, bank_labels) == labels
        hit = knn_predict(triggered, known, bank_labels)[labels != 0] == 0
        return float(right.double().mean()), float(hit.double().mean())


@pytest.fixture(scope="session")
def backdoored():
    made = Backdoored()
    acc, asr = made.rates(made.encoder)
    assert acc > 0.95, "the planted backdoor must work for the tests to say anything"
    assert asr > 0.95
    return made


@pytest.fixture
def must_repair(backdoored):
    """Check a treatment of the planted encoder: the backdoor goes, the classes stay, and so does the encoder."""

    def check(treat, brief=None):
        """``brief``: the same treatment, cut short, to see that it is seeded."""
        b, before = backdoored, state(backdoored.encoder)
        treated = treat()
        acc, asr = b.rates(treated)
        assert asr < 0.1
        assert acc > 0.95
        assert same(before, state(b.encoder)), "the encoder itself stays"
        assert all(p.grad is None for p in b.encoder.parameters())
        once, again = (state(brief()) for _ in range(2)) if brief else (state(treated), state(treat()))
        assert same(once, again), "seeded"

    return check


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory):
    """A small contrastive run, which learned from no labels."""
    return load_run(trained(tmp_path_factory.mktemp("unlabelled") / "seed0", "simclr-clean"), device="cpu")


class Secret:
    """A trigger that no defender may look at."""

    def __call__(self, images):
        raise AssertionError("looked at the trigger")


@pytest.fixture
def secret():
    return Secret()


@pytest.fixture
def of_arm():
    """Function (defender, arm) → the same defender, said to be of another arm."""

    def change(defender, arm):
        training = defender.training
        experiment = replace(training.experiment, recipe=replace(training.experiment.recipe, arm=arm))
        return replace(defender, training=replace(training, experiment=experiment))

    return change
