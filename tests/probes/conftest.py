"""An encoder for the probes that read gradients."""

import pytest
import torch
from intertwine.representations import EncoderSpec, build_encoder

from tests.factories import images


@pytest.fixture
def encoder():
    """A small encoder whose BN statistics are not those of its initialisation, in training mode."""
    encoder = build_encoder(EncoderSpec("resnet8", width=4, image_size=8)).train()
    with torch.no_grad():
        encoder(images(40, seed=9))
    return encoder
