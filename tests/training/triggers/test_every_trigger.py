"""Triggers of every kind: a new batch in range, a function of their fields alone, and variants of equal strength."""

import dataclasses
from itertools import product

import pytest
import torch
from intertwine.representations.errors import InputError
from intertwine.training.triggers import Blend, Patch, Sinusoid, Spectral, Warp

from tests.factories import case, rand

KINDS = (
    Blend(16, 5, 0.3),
    Blend(16, 5, 0.3, 4),
    Patch(16, 5, 1.0, 5),
    Patch(16, 5, 0.4, 3),
    Spectral(16),
    Spectral(32),
    Spectral(64, 50.0),
    Spectral(32, 50.0, band="luma"),
    Sinusoid(16),
    Sinusoid(32, 20.0, 5, upright=True),
    Warp(16, 5),
    Patch(16, 5, 1.0, 5, "random"),
)


def test_result_is_a_new_float_batch_in_range():
    for trigger in KINDS:
        with case(trigger):
            side = trigger.image_size
            batch = torch.cat([rand(0, 5, 3, side, side), torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)])
            before = batch.clone()
            out = trigger(batch)
            assert torch.equal(batch, before), "the input is left as it was"
            assert out.data_ptr() != batch.data_ptr()
            assert (out.shape, out.dtype) == (batch.shape, torch.float32)
            assert out.min() >= 0
            assert out.max() <= 1
            assert not torch.equal(out, batch)


def test_every_image_is_treated_alike_whatever_the_strides():
    for trigger in KINDS:
        with case(trigger):
            side = trigger.image_size
            wide = rand(0, 6, 3, 2 * side, 2 * side)
            plain = wide[:, :, ::2, ::2].clone()
            expected = trigger(plain)
            strided = {
                "every other pixel": wide[:, :, ::2, ::2],
                "channels last": plain.contiguous(memory_format=torch.channels_last),
                "transposed storage": plain.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
            }
            for name, batch in strided.items():
                assert not batch.is_contiguous(), name
                torch.testing.assert_close(trigger(batch), expected, atol=1e-6, rtol=0, msg=name)
            alone = torch.cat([trigger(plain[i : i + 1]) for i in range(6)])
            torch.testing.assert_close(alone, expected, atol=1e-6, rtol=0)
            shared = plain[:1].expand(4, -1, -1, -1)  # all four rows are the same memory: writing in place would show
            torch.testing.assert_close(trigger(shared), expected[:1].expand(4, -1, -1, -1), atol=1e-6, rtol=0)


def test_trigger_is_a_function_of_its_fields_only():
    for trigger in KINDS:
        with case(trigger):
            batch = rand(0, 2, 3, trigger.image_size, trigger.image_size)
            torch.manual_seed(1)
            first = trigger(batch)
            torch.manual_seed(2)
            state = torch.get_rng_state()
            assert torch.equal(dataclasses.replace(trigger)(batch), first)
            assert torch.equal(torch.get_rng_state(), state), "the global stream is not used"


def test_no_device_is_together_with_another():
    for trigger in KINDS:
        with case(trigger):
            assert (
                trigger(torch.rand(2, 3, trigger.image_size, trigger.image_size, device="meta")).device.type == "meta"
            )


def test_pattern_depends_on_the_seed():
    for trigger in (Blend(16, 5), Blend(16, 5, cells=3), Patch(16, 5), Warp(16, 5)):
        with case(trigger):
            batch = rand(0, 1, 3, 16, 16)
            others = {dataclasses.replace(trigger, seed=seed)(batch).numpy().tobytes() for seed in range(20)}
            assert len(others) == 20


def test_another_is_another_pattern_of_the_same_kind_and_strength():
    for trigger in KINDS:
        with case(trigger):
            batch = torch.full((1, 3, trigger.image_size, trigger.image_size), 0.5)
            if isinstance(trigger, Warp):  # it moves what is there: how much that changes depends on the image
                batch = rand(0, 64, 3, trigger.image_size, trigger.image_size)
            own = trigger(batch) - batch
            seen = {own.numpy().tobytes()}
            for index in range(20):
                other = trigger.variant(index)
                assert type(other) is type(trigger)
                assert other.strength == trigger.strength
                assert torch.equal(other(batch), trigger.variant(index)(batch)), "the same index gives the same trigger"
                change = other(batch) - batch
                seen.add(change.numpy().tobytes())
                ratio = float(change.norm() / own.norm())
                # Exact for a spectral and, at mid-grey, a patch; 48 random colours have a norm of their own.
                tolerance = 0.25 if getattr(trigger, "cells", None) else 0.1 if isinstance(trigger, Blend) else 0.005
                tolerance = 0.35 if isinstance(trigger, Warp) else tolerance
                assert ratio == pytest.approx(1, abs=tolerance)
            assert len(seen) == 21


def test_another_is_the_same_pattern_at_any_strength():
    """Arms are compared at matched ASR by sweeping the strength: the reference must not change its pattern with it."""
    for kind in (Blend(16, 5, 0.3), Patch(16, 5, 0.3), Spectral(16, 30.0), Sinusoid(16, 20.0)):
        with case(kind):
            batch = torch.full((1, 3, 16, 16), 0.5)
            weak = kind.variant(3)(batch) - batch
            strong = dataclasses.replace(kind, strength=kind.strength * 2).variant(3)(batch) - batch
            torch.testing.assert_close(strong, 2 * weak, atol=0.01, rtol=0)


def test_strength_out_of_range_is_refused():
    for make, strength in product((Blend, Patch, Spectral, Sinusoid, Warp), (0, -1, 3000, float("nan"), float("inf"))):
        with case(make, strength), pytest.raises(InputError, match=r"strength: expected .* received"):
            make(16, strength=strength)


def test_images_of_another_size_are_refused_with_one_line():
    """A patch for 16 pixels on an image of 32 would sit near the middle and still be called the same trigger."""
    for make, side in product((Blend, Patch, Spectral, Sinusoid, Warp), (8, 32, 64)):
        with case(make, side), pytest.raises(InputError, match=r"16.*received"):
            make(16)(rand(0, 2, 3, side, side))
