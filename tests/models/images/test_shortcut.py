"""Tests of the shortcut without parameters."""

import torch

from normbench.models.images.shortcut import shortcut
from normbench.models.images.staged import BlockShape


def test_takes_every_second_pixel_and_pads_channels_with_zeros() -> None:
    """Option A: subsampling, then zeros for the new channels; odd sizes round up, as the convolution's do."""
    x = torch.randn(2, 3, 5, 4)
    y = shortcut(x, BlockShape(3, 6, 2))
    assert y.shape == (2, 6, 3, 2)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()


def test_passes_on_what_keeps_its_shape() -> None:
    """Within a stage the shortcut is the identity."""
    x = torch.randn(2, 3, 5, 4)
    assert shortcut(x, BlockShape(3, 3, 1)) is x
