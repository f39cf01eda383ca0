"""CKA of the layers of two encoders, from images."""

import pytest
import torch
from intertwine.representations import EncoderSpec, build_encoder, capture, wrap
from intertwine.representations.errors import InputError
from intertwine.representations.similarity.cka import cka
from intertwine.representations.similarity.layers import cka_layers
from intertwine.representations.similarity.minibatch import minibatch_cka
from torch import nn

from tests.factories import images
from tests.representations.hsic import Largest


@pytest.fixture(scope="module")
def encoders():
    return [build_encoder(EncoderSpec("resnet8", width=4, image_size=8), seed=seed) for seed in (0, 1)]


def test_layers_of_two_encoders(encoders):
    x = images(50)
    result = cka_layers(*encoders, x, layers_y=["layer2", "features"], batch_size=16)
    assert (result.layers_x, result.layers_y) == (encoders[0].layers, ("layer2", "features"))
    a, b = (capture(encoder, x) for encoder in encoders)
    for i, name_a in enumerate(result.layers_x):
        for j, name_b in enumerate(result.layers_y):
            assert float(result.values[i, j]) == pytest.approx(cka(a[name_a], b[name_b]), abs=1e-5)
            # capture() saw the images in one batch: float32 convolutions differ in the last digits


def test_layers_biased_and_minibatch_by_request(encoders):
    x = images(48)
    a, b = (capture(encoder, x, layers=["features"], batch_size=16)["features"] for encoder in encoders)
    only = {"layers_x": ["features"], "layers_y": ["features"], "batch_size": 16}
    biased = cka_layers(*encoders, x, debiased=False, **only)
    assert float(biased.values) == pytest.approx(cka(a, b, debiased=False), abs=1e-9)
    estimate = cka_layers(*encoders, x, minibatch=True, **only)
    assert float(estimate.values) == pytest.approx(minibatch_cka(zip(a.split(16), b.split(16), strict=True)), abs=1e-6)


def test_one_encoder_with_and_without_a_trigger(encoders):
    x = images(40)
    result = cka_layers(encoders[0], encoders[0], x, transform_y=lambda batch: batch.flip(3) * 0.5)
    clean, triggered = capture(encoders[0], x), capture(encoders[0], x, transform=lambda batch: batch.flip(3) * 0.5)
    expected = [cka(clean[name], triggered[name]) for name in clean]
    assert result.values.diagonal().tolist() == pytest.approx(expected, abs=1e-9)
    same = cka_layers(encoders[0], encoders[0], x).values
    torch.testing.assert_close(same.diagonal(), torch.ones_like(same.diagonal()))
    torch.testing.assert_close(same, same.T)


@pytest.mark.parametrize("fails", [False, True])
def test_no_trace_on_encoders_that_share_modules(fails):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    x, y = wrap(module, layers={"conv": "0"}), wrap(module, layers={"relu": "2"})
    module.train()
    module[1].eval()
    seen: list[bool] = []

    def spy(batch: torch.Tensor) -> torch.Tensor:
        seen.append(module[0].training)
        if fails and len(seen) == 2:
            raise KeyError("trigger")
        return batch

    if fails:
        with pytest.raises(KeyError, match="trigger"):
            cka_layers(x, y, images(20), batch_size=8, transform_y=spy)
    else:
        cka_layers(x, y, images(20), batch_size=8, transform_y=spy)
        assert len(seen) == 3
    assert not any(seen)
    assert [m.training for m in module] == [True, False, True, True, True]
    assert sum(len(m._forward_hooks) for m in (*module.modules(), *x.modules(), *y.modules())) == 0


def test_layers_bad_input_is_named(encoders):
    with pytest.raises(InputError, match=r"expected some of stem.*, received layer9"):
        cka_layers(*encoders, images(8), layers_y=["layer9"])
    with pytest.raises(InputError, match="at least 4 rows before compute, received 3"):
        cka_layers(*encoders, images(3))
    with pytest.raises(InputError, match="at least one image, received none"):
        cka_layers(*encoders, images(0))


def test_memory_from_images_does_not_grow(encoders):
    largest = []
    for n in (64, 512):
        x = images(n)
        with Largest(x) as seen:
            cka_layers(*encoders, x, batch_size=32, layers_x=["stem", "layer1"], layers_y=["layer1"])
        largest.append(seen.bytes)
    assert largest[0] == largest[1]
