"""The maps of a residual network that a head for many places uses."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from normbench.models.images.staged import BlockShape


def last_blocks(shapes: Sequence[BlockShape]) -> list[int]:
    """Return the index of the last block of each stage."""
    starts = [index for index, shape in enumerate(shapes) if shape.stride > 1]
    return [start - 1 for start in (*starts, len(shapes))]


def stage_maps(x: Tensor, stem: nn.Module, blocks: Iterable[nn.Module], last: Sequence[int]) -> list[Tensor]:
    """Return the maps of x (N, C, H, W) after each stage of a network.

    Args:
        x: The images.
        stem: Its first layer.
        blocks: Its blocks.
        last: `last_blocks`.
    """
    x = stem(x)
    maps = []
    for index, block in enumerate(blocks):
        x = block(x)
        if index in last:
            maps.append(x)
    return maps
