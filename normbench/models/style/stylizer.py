"""The feed-forward generator of style transfer (Johnson et al. 2016; Ulyanov et al. 2017)."""

from functools import partial
from typing import Any, final

import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory
from normbench.shapes import PictureShape

_EDGE = 9
"""Side of the first and the last convolution, in pixels."""

_RANGE = 3.0
"""Largest value of the new pictures, in standard deviations of the data's pixels: 0 and 255 lie within it."""

SMALLEST = 8
"""Least height and width: a quarter of it can still be padded by reflection, as the first map by half of `_EDGE`."""


@final
class PaintedBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, x + norm(conv2(act(norm(conv1(x))))), without an activation after the sum.

    Shape:
        (N, C, H, W) to the same.
    """

    def __init__(self, channels: int, norm: NormFactory, dials: Dials) -> None:
        super().__init__()
        self.first = NormedLayer(_convolution(channels, channels, 3), channels, norm, dials)
        self.second = NormedLayer(_convolution(channels, channels, 3), channels, norm, dials, activated=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block of x, (N, C, H, W)."""
        return x + self.second(self.first(x))  # type: ignore[no-any-return]  # nn.Module calls are untyped


@final
class Stylizer(nn.Module):
    """Convolutions down to a quarter of the size, residual blocks, and up again by the nearest pixel.

    Borders are padded by reflection. The last convolution has no norm, and a scaled tanh keeps pixels in range.

    Args:
        shape: The pictures.
        num_outputs: Channels of the new pictures.
        norm: Makes the norm after each other convolution.
        depth: Residual blocks.
        width: Channels at full size; twice and four times as many at a half and a quarter of it.
        dials: The shared settings.

    Shape:
        (N, C, H, W) to (N, num_outputs, H, W).
    """

    def __init__(
        self, shape: PictureShape, num_outputs: int, norm: NormFactory, *, depth: int, width: int, dials: Dials
    ) -> None:
        super().__init__()

        def layer(inputs: int, out: int, side: int = 3, stride: int = 1) -> NormedLayer:
            return NormedLayer(_convolution(inputs, out, side, stride), out, norm, dials)

        self.down = nn.Sequential(
            layer(shape.channels, width, _EDGE),
            layer(width, 2 * width, stride=2),
            layer(2 * width, 4 * width, stride=2),
        )
        self.blocks = nn.Sequential(*(PaintedBlock(4 * width, norm, dials) for _ in range(depth)))
        self.up = nn.ModuleList((layer(4 * width, 2 * width), layer(2 * width, width)))
        self.dropout = optional_dropout(dials.dropout, (width, shape.height, shape.width))
        self.last = _convolution(width, num_outputs, _EDGE)()
        self.init = Initialization(dials.init, dials.activation, dials.init_scale, bias=dials.bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Return x repainted, (N, C, H, W)."""
        height, width = x.shape[-2:]
        y = self.blocks(self.down(x))
        # Sizes that four does not divide are rounded up on the way down.
        for layer, shrink in zip(self.up, (2, 1), strict=True):
            y = layer(F.interpolate(y, size=(-(-height // shrink), -(-width // shrink))))
        painted: Tensor = self.last(self.dropout(y))
        # With slope one around zero: at first no pixel is where the tanh is flat.
        return _RANGE * (painted / _RANGE).tanh()


def stylizer(
    input_shape: PictureShape, num_outputs: int, norm: NormFactory, *, depth: int = 3, width: int = 8, **dials: Any
) -> Stylizer:
    """Return a generator of style transfer.

    Args:
        input_shape: The pictures, at least 8 x 8 pixels.
        num_outputs: Channels of the new pictures.
        norm: Makes the norms.
        depth: Residual blocks.
        width: Channels at full size.
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If a dial is wrong.
        ImpossibleRunError: If pictures are too small, or `init` is one for other residual networks.
    """
    settings = Dials(**dials)
    settings.refuse_residual_init("stylizer")
    if min(input_shape.height, input_shape.width) < SMALLEST:
        raise ImpossibleRunError(
            f"pictures of {input_shape.height}x{input_shape.width} are too small: model=stylizer needs at least "
            f"{SMALLEST}x{SMALLEST} pixels. Use larger pictures."
        )
    return Stylizer(input_shape, num_outputs, norm, depth=depth, width=width, dials=settings)


def _convolution(inputs: int, out: int, side: int, stride: int = 1) -> "partial[nn.Conv2d]":
    """Return a function that makes a convolution padded by reflection, called with ``bias=``."""
    return partial(nn.Conv2d, inputs, out, side, stride=stride, padding=side // 2, padding_mode="reflect")
