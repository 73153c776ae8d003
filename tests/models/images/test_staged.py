"""Tests of the outline of the three-stage networks."""

import pytest

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.images.staged import BlockShape, block_shapes, refuse_small_images


def test_a_stage_doubles_channels_and_halves_the_map() -> None:
    """Depth 14 has two blocks a stage."""
    assert block_shapes(14, 16) == [
        BlockShape(16, 16, 1),
        BlockShape(16, 16, 1),
        BlockShape(16, 32, 2),
        BlockShape(32, 32, 1),
        BlockShape(32, 64, 2),
        BlockShape(64, 64, 1),
    ]


@pytest.mark.parametrize("depth", [2, 7, 9, 18, 51])
def test_depth_is_6n_plus_2(depth: int) -> None:
    """Other depths raise and name those that exist."""
    with pytest.raises(ConfigError, match=rf"got {depth}, .*8, 14, 20"):
        block_shapes(depth, 16)


def test_width_is_positive() -> None:
    """No channels, no network."""
    with pytest.raises(ConfigError, match=r"model.width: got 0"):
        block_shapes(8, 0)


@pytest.mark.parametrize(("height", "width"), [(3, 8), (8, 3)])
def test_images_can_be_halved_twice(height: int, width: int) -> None:
    """Images under 4x4 raise."""
    with pytest.raises(ImpossibleRunError, match=f"{height}x{width} are too small"):
        refuse_small_images((1, height, width))
