"""The U-Net (Ronneberger et al. 2015), with padded convolutions and nearest-neighbour upsampling."""

import itertools
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.staged import conv3x3
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory
from normbench.norms.none import NoNorm
from normbench.shapes import PixelShape


@final
class UNet(nn.Module):
    """Levels of two 3x3 convolutions on maps of half the size and twice the channels, down and up again.

    On the way up, each level gets the map of the level below, enlarged, and its own map from the way down.

    Args:
        shape: The images.
        num_outputs: Classes K.
        norm: Makes the norm after each convolution on the way down.
        head_norm: Makes the norms on the way up.
        widths: Channels of each level.
        dials: The shared settings.

    Shape:
        (N, C, H, W) to logits (N, K, H, W).
    """

    def __init__(
        self,
        shape: PixelShape,
        num_outputs: int,
        norm: NormFactory,
        head_norm: NormFactory,
        *,
        widths: list[int],
        dials: Dials,
    ) -> None:
        super().__init__()

        def pair(in_channels: int, out: int, norm: NormFactory) -> nn.Sequential:
            layers = (NormedLayer(conv3x3(inputs, out), out, norm, dials) for inputs in (in_channels, out))
            return nn.Sequential(*layers)

        inputs = [shape.channels, *widths[:-1]]
        self.down = nn.ModuleList(pair(before, out, norm) for before, out in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(pair(below + own, own, head_norm) for own, below in itertools.pairwise(widths))
        self.dropout = optional_dropout(dials.dropout, (widths[0], shape.height, shape.width))
        self.head = nn.Conv2d(widths[0], num_outputs, kernel_size=1)
        self.init = Initialization(dials.init, dials.activation, dials.init_scale, bias=dials.bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, (N, C, H, W)."""
        maps = [self.down[0](x)]
        for level in self.down[1:]:
            # Rounded up, so that no row or column of an odd map is lost.
            maps.append(level(F.max_pool2d(maps[-1], 2, ceil_mode=True)))
        y = maps.pop()
        for level in reversed(self.up):
            own = maps.pop()
            y = level(torch.cat((own, F.interpolate(y, size=own.shape[-2:])), dim=1))
        return self.head(self.dropout(y))  # type: ignore[no-any-return]  # nn.Module calls are untyped


def unet(
    input_shape: PixelShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    depth: int = 3,
    width: int = 8,
    head_norm: bool = True,
    **dials: Any,
) -> UNet:
    """Return a U-Net.

    Args:
        input_shape: The images, at least 2^(depth - 1) pixels high and wide.
        num_outputs: Classes K.
        norm: Makes the norm after each 3x3 convolution.
        depth: Levels, each on maps of half the size.
        width: Channels of the first level; each further one has twice as many.
        head_norm: Whether there are norms on the way up.
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If a dial is wrong.
        ImpossibleRunError: If images are too small, or `init` needs residual branches.
    """
    settings = Dials(**dials)
    settings.refuse_residual_init("unet")
    smallest = 2 ** (depth - 1)
    if min(input_shape.height, input_shape.width) < smallest:
        raise ImpossibleRunError(
            f"images of {input_shape.height}x{input_shape.width} are too small: model.depth={depth} halves them "
            f"{depth - 1} times and needs at least {smallest}x{smallest}. Use larger images or a smaller depth."
        )
    return UNet(
        input_shape,
        num_outputs,
        norm,
        norm if head_norm else NormFactory(NoNorm),
        widths=[width * 2**level for level in range(depth)],
        dials=settings,
    )
