"""Common structure of `resnet` and `plain`: He et al.'s three-stage network for small images (2016, section 4.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, final

from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.initialization import Initialization

_STAGES = 3
_SMALLEST = 4


@dataclass(frozen=True, slots=True)
class BlockShape:
    """Input and output channels of a block of two 3x3 convolutions; `stride` is that of the first."""

    in_channels: int
    out_channels: int
    stride: int


class ResidualTrunk(NamedTuple):
    """A residual network without its head.

    Attributes:
        stem: Maps images (N, C, H, W) to (N, `width`, H, W).
        blocks: The blocks, in order.
        init: How the weights are drawn, if the network has the two under the names ``stem`` and ``blocks``.
    """

    stem: nn.Module
    blocks: Sequence[nn.Module]
    init: Initialization


BlockBuilder = Callable[[BlockShape], nn.Module]


@final
class StagedNet(nn.Module):
    """A stem, blocks in three stages, a global average pool and a linear head.

    Args:
        stem: Maps images (N, C, H, W) to (N, `width`, H, W).
        blocks: The blocks, in order.
        pooled: Applied to the pooled features before the head.
        head: Maps pooled features (N, 4 * `width`) to logits (N, K).
        init: How the weights are drawn.

    Shape:
        (N, C, H, W) to logits (N, K).
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[nn.Module], pooled: nn.Module, head: nn.Linear, init: Initialization
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.pooled = pooled
        self.head = head
        self.init = init

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, (N, C, H, W)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.pooled(x.mean((2, 3))))  # type: ignore[no-any-return]  # nn.Module calls are untyped


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> Callable[..., nn.Conv2d]:
    """Return a function that makes a 3x3 convolution with padding 1, called with ``bias=``."""
    return partial(nn.Conv2d, in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def block_shapes(depth: int, width: int) -> list[BlockShape]:
    """Return the shapes of the 3n blocks of a network of 6n + 2 layers; a stage doubles channels and halves the map.

    Args:
        depth: Weight layers, 6n + 2.
        width: Channels of the first stage.

    Raises:
        ConfigError: If `depth` is not 6n + 2 or `width` is below 1.
    """
    if depth < 8 or depth % 6 != 2:
        raise ConfigError(f"model.depth: got {depth}, expected 6n + 2 layers: 8, 14, 20, 32, 44, 56, 110, ...")
    if width < 1:
        raise ConfigError(f"model.width: got {width}, expected an integer of at least 1.")
    shapes = []
    channels = width
    for stage in range(_STAGES):
        for index in range((depth - 2) // 6):
            new_stage = stage > 0 and index == 0
            out = channels * 2 if new_stage else channels
            shapes.append(BlockShape(channels, out, stride=2 if new_stage else 1))
            channels = out
    return shapes


def refuse_small_images(input_shape: tuple[int, int, int]) -> None:
    """Raise if images are too small to halve twice.

    Raises:
        ImpossibleRunError: If height or width is below 4.
    """
    _, height, width = input_shape
    if min(height, width) < _SMALLEST:
        raise ImpossibleRunError(
            f"images of {height}x{width} are too small: the network halves them twice and needs at least "
            f"{_SMALLEST}x{_SMALLEST}. Use larger images or model=mlp."
        )
