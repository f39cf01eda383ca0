"""Capture reads activations and leaves no trace on the encoder."""

import pytest
import torch
from intertwine.representations import EncoderSpec, InputError, build_encoder, capture, wrap
from intertwine.representations.capture import evaluating, recording
from torch import nn

from tests.factories import case, hooks, images


@pytest.fixture
def encoder():
    return build_encoder(EncoderSpec("resnet8", width=4, image_size=8))


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("out of memory")


# --- what is captured


def test_layers_are_the_submodules_outputs_averaged_over_positions(encoder):
    x = images(6)
    encoder.eval()
    backbone = encoder.backbone
    with torch.no_grad():
        h = ((x.float() / 255) - 0.5) / 0.25
        expected = {"stem": torch.relu(backbone.bn1(backbone.conv1(h)))}
        for name in ("layer1", "layer2", "layer3"):
            expected[name] = getattr(backbone, name)(expected[list(expected)[-1]])
    captured = capture(encoder, x)
    assert list(captured) == ["stem", "layer1", "layer2", "layer3", "features"]
    for name, maps in expected.items():
        slow = torch.tensor([[float(m.double().mean()) for m in image] for image in maps])
        torch.testing.assert_close(captured[name], slow, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(captured["features"], captured["layer3"])
    assert all(a.dtype == torch.float32 and a.device.type == "cpu" for a in captured.values())


def test_vectors_are_taken_as_they_are():
    encoder = wrap(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), layers={"pixels": "0"})
    captured = capture(encoder, images(4))
    assert torch.equal(captured["pixels"], images(4).flatten(1).float() / 255)
    assert captured["features"].shape == (4, 5)


def test_layers_can_be_chosen(encoder):
    assert list(capture(encoder, images(2), layers=["features", "layer1"])) == ["features", "layer1"]


def test_defect_in_place_relu_overwrites_captured_outputs():
    """The hook on a convolution must hold its output, not what the in-place ReLU after it made of it."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 3)
    encoder = wrap(nn.Sequential(convolution, nn.ReLU(inplace=True), nn.Flatten()), layers={"conv": "0", "relu": "1"})
    captured = capture(encoder, images(5))
    with torch.no_grad():
        expected = convolution(images(5).float() / 255)
    torch.testing.assert_close(captured["conv"], expected.mean((2, 3)))
    torch.testing.assert_close(captured["relu"], expected.relu().mean((2, 3)))
    assert (captured["conv"] < 0).any()


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 500])
def test_defect_last_short_batch(encoder, batch_size):
    """Seven images in batches of any size: every one is there, in order, with its own value."""
    x = images(7)
    encoder.eval()
    with torch.no_grad():
        expected = torch.cat([encoder(image.unsqueeze(0)) for image in x])
    torch.testing.assert_close(capture(encoder, x, batch_size=batch_size)["features"], expected, atol=1e-6, rtol=1e-5)


def test_uint8_and_float_images_give_the_same(encoder):
    x = images(5)
    by_float = capture(encoder, x.float() / 255)
    for name, activations in capture(encoder, x).items():
        assert torch.equal(activations, by_float[name])


@pytest.mark.parametrize("as_float", [False, True])
def test_the_transform_gets_a_float_batch_between_0_and_1(encoder, as_float):
    x = images(7)
    seen = []

    def invert(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())
        return 1 - batch

    captured = capture(encoder, x.float() / 255 if as_float else x, transform=invert, batch_size=3)
    assert [len(batch) for batch in seen] == [3, 3, 1]
    assert all(batch.dtype == torch.float32 for batch in seen)
    torch.testing.assert_close(torch.cat(seen), x.float() / 255)
    torch.testing.assert_close(captured["features"], capture(encoder, 255 - x)["features"], atol=1e-5, rtol=1e-4)


def test_the_images_stay_as_they_are(encoder):
    x = images(4).float() / 255
    before = x.clone()
    capture(encoder, x, transform=lambda batch: batch.mul(0.5))
    assert torch.equal(x, before)


def test_the_result_can_be_used_in_autograd(encoder):
    features = capture(encoder, images(4))["features"]
    weight = torch.ones(features.shape[1], requires_grad=True)
    (features @ weight).sum().backward()
    assert torch.equal(weight.grad, features.sum(0))
    assert not features.requires_grad
    assert not features.is_inference()


# --- no trace


def test_defect_hooks_never_removed(encoder):
    capture(encoder, images(2))
    assert hooks(encoder) == 0


def test_hooks_are_removed_after_an_exception_in_the_encoder():
    encoder = wrap(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), Fails()), layers={"conv": "0", "bn": "1"})
    encoder.train()
    with pytest.raises(RuntimeError, match="out of memory"):
        capture(encoder, images(2))
    assert hooks(encoder) == 0
    assert all(module.training for module in encoder.modules())


def test_hooks_are_removed_after_an_exception_in_the_transform(encoder):
    def fail(batch):
        raise KeyError("trigger")

    with pytest.raises(KeyError, match="trigger"):
        capture(encoder, images(2), transform=fail)
    assert hooks(encoder) == 0


def test_a_hook_of_the_users_own_stays(encoder):
    calls = []
    handle = encoder.backbone.layer1.register_forward_hook(lambda *_: calls.append(1))
    capture(encoder, images(2))
    assert hooks(encoder) == 1
    assert calls == [1]
    handle.remove()


def test_modes_are_restored_one_submodule_at_a_time(encoder):
    encoder.train()
    encoder.backbone.layer2.eval()
    encoder.backbone.bn1.eval()
    before = {name: module.training for name, module in encoder.named_modules()}
    assert len(set(before.values())) == 2
    capture(encoder, images(3))
    assert {name: module.training for name, module in encoder.named_modules()} == before


def test_inside_everything_is_in_evaluation_mode(encoder):
    encoder.train()
    with evaluating(encoder):
        assert not any(module.training for module in encoder.modules())
    with pytest.raises(ZeroDivisionError), evaluating(encoder):
        raise ZeroDivisionError
    assert all(module.training for module in encoder.modules())


def test_running_statistics_and_weights_do_not_move(encoder):
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    capture(encoder, images(9), batch_size=4)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in encoder.parameters())


def test_recording_keeps_each_forward_pass(encoder):
    encoder.eval()
    with recording(encoder, ["stem", "features"]) as outputs:
        first = encoder(images(2))
        assert torch.equal(outputs["features"], first)
        assert outputs["stem"].shape == (2, 4, 8, 8)
        encoder(images(3))
        assert len(outputs["features"]) == 3
    assert hooks(encoder) == 0


def test_recording_leaves_gradients_alone(encoder):
    encoder.eval()
    with recording(encoder, ["layer1"]) as outputs:
        encoder(images(2)).sum().backward()
    assert outputs["layer1"].requires_grad
    assert encoder.backbone.conv1.weight.grad is not None


# --- errors


def test_activations_that_are_not_finite_are_an_error_that_names_the_layer():
    for bad in (float("nan"), float("inf")):
        with case(bad):
            encoder = wrap(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 4)), layers={"conv": "0"})
            with torch.no_grad():
                encoder.backbone[2].bias[1] = bad
            with pytest.raises(
                InputError, match="layer features: expected finite activations, received NaN or infinity"
            ):
                capture(encoder, images(3))
            assert capture(encoder, images(3), layers=["conv"])["conv"].shape == (3, 2)


def test_one_bad_image_in_the_last_batch_is_found(encoder):
    def spoil(batch):
        return batch if len(batch) == 3 else batch * float("nan")

    with pytest.raises(InputError, match="layer stem: expected finite"):
        capture(encoder, images(7), batch_size=3, transform=spoil)


def test_floats_outside_0_and_1_are_refused(encoder):
    for x, found in ((images(2).float(), "from .* to 25"), (images(2).float() / 127.5 - 1, "from -")):
        with pytest.raises(InputError, match=f"images: expected uint8, or floats in .0, 1., received floats {found}"):
            capture(encoder, x)
    x = images(2).float() / 255
    with pytest.raises(InputError, match="received floats from nan to nan"):
        capture(encoder, torch.where(x == x[0, 0, 0, 0], torch.nan, x))
    assert capture(encoder, x)["features"].equal(capture(encoder, images(2))["features"])


def test_unknown_layers_are_named_with_the_known_ones(encoder):
    with pytest.raises(InputError, match=r"expected some of stem, layer1, .*features, received layer9, top"):
        capture(encoder, images(2), layers=["layer1", "layer9", "top"])
    assert hooks(encoder) == 0


def test_no_images_is_an_error(encoder):
    with pytest.raises(InputError, match="at least one image, received none"):
        capture(encoder, images(0))


def test_an_output_of_another_rank_is_an_error():
    encoder = wrap(nn.Flatten(2))
    with pytest.raises(InputError, match=r"layer features: expected an output \(n, d\).* received \(2, 3, 64\)"):
        capture(encoder, images(2))


def test_a_tapped_module_with_several_outputs_is_an_input_error():
    """Attention and recurrent layers return tuples: the layer is the user's choice, so the message names it."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

        def forward(self, x):
            tokens = x[:, 0, :, :4]
            return self.attention(tokens, tokens, tokens)[0].mean(1)

    with pytest.raises(InputError, match="layer"):
        capture(wrap(Model(), layers={"layer": "attention"}), images(2))
