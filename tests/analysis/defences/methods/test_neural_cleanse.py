"""Neural Cleanse: the class that the smallest trigger leads to."""

import pytest
import torch
from intertwine.analysis.defences import neural_cleanse
from intertwine.representations.errors import InputError

from tests.analysis.defences.planted import without_corner
from tests.factories import images


def test_it_finds_the_class_that_a_corner_decides():
    """Four classes by the mean of a quarter of the image each; a bright corner pixel sends any image to class 2."""

    def classifier(x):
        quarters = torch.stack([x[:, :, :4, :4], x[:, :, :4, 4:], x[:, :, 4:, :4], x[:, :, 4:, 4:]], 1).mean((2, 3, 4))
        logits = 20 * quarters
        bonus = torch.zeros_like(logits)
        bonus[:, 2] = 4 * torch.nn.functional.softplus(10 * (x[:, :, 0, 0].mean(1) - 0.65))
        return logits + bonus

    x = images(60, below=150)
    found = neural_cleanse(x, classifier, 4, steps=150)
    assert found.score > 1
    assert found.flagged.tolist() == [False, False, True, False]
    assert int(found.norms.argmin()) == 2
    assert (found.reached > 0.9).all()
    assert int(found.masks[2].flatten().argmax()) == 0
    honest = neural_cleanse(x, lambda images: classifier(without_corner(images)), 4, steps=150)
    assert not honest.flagged.any()


def test_what_it_refuses():
    with pytest.raises(InputError, match="clean, classes: expected at least 2 images and 3 classes, received 60, 2"):
        neural_cleanse(images(60, below=150), lambda x: x.flatten(1), 2)
