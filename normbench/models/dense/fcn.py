"""A fully convolutional network (Long et al. 2015) on the residual network for small images."""

from dataclasses import replace
from typing import Any, final

import torch.nn.functional as F
from torch import Tensor, nn

from normbench.models.dense.stages import last_blocks, stage_maps
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.resnet import residual_trunk
from normbench.models.images.staged import BlockShape, ResidualTrunk, block_shapes, conv3x3, refuse_small_images
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory
from normbench.norms.none import NoNorm
from normbench.shapes import PixelShape


@final
class FCN(nn.Module):
    """Scores of each stage of a residual network, summed from the smallest map to the largest.

    s3 = head(layer(x3)), s2 = up(s3) + skip2(x2), s1 = up(s2) + skip1(x1), with x1, x2, x3 the maps of the stages, `up`
    bilinear, and 1x1 convolutions `head` and `skip`.

    Args:
        trunk: The residual network.
        shapes: Shapes of its blocks.
        layer: A layer between the last stage and its scores.
        dropout: Applied before the head.
        num_outputs: Classes K.

    Shape:
        (N, C, H, W) to logits (N, K, H, W).
    """

    def __init__(
        self, trunk: ResidualTrunk, shapes: list[BlockShape], layer: nn.Module, dropout: nn.Module, num_outputs: int
    ) -> None:
        super().__init__()
        self.last = last_blocks(shapes)
        self.stem = trunk.stem
        self.blocks = nn.ModuleList(trunk.blocks)
        *skipped, deepest = (shapes[index].out_channels for index in self.last)
        self.layer = layer
        self.dropout = dropout
        self.head = nn.Conv2d(deepest, num_outputs, kernel_size=1)
        self.skips = nn.ModuleList(nn.Conv2d(channels, num_outputs, kernel_size=1) for channels in skipped)
        # The scores of a map add to those of the smaller ones, which start alone.
        factors = {f"skips.{index}.weight": 0.0 for index in range(len(skipped))}
        self.init = replace(trunk.init, factors={**trunk.init.factors, **factors})

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, (N, C, H, W)."""
        *maps, deepest = stage_maps(x, self.stem, self.blocks, self.last)
        scores: Tensor = self.head(self.dropout(self.layer(deepest)))
        for skip, skipped in zip(reversed(self.skips), reversed(maps), strict=True):
            up = F.interpolate(scores, size=skipped.shape[-2:], mode="bilinear", align_corners=False)
            scores = up + skip(skipped)
        return scores


def fcn(
    input_shape: PixelShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    depth: int = 8,
    width: int = 8,
    head_norm: bool = True,
    zero_init_residual: bool = False,
    **dials: Any,
) -> FCN:
    """Return a fully convolutional network.

    Args:
        input_shape: The images, at least 4x4 pixels.
        num_outputs: Classes K.
        norm: Makes the norm after each 3x3 convolution.
        depth: Weight layers of the residual network with the head it has for classification, 6n + 2.
        width: Channels of its first stage.
        head_norm: Whether there is a norm between its last stage and the scores.
        zero_init_residual: Whether the gamma of each branch's last norm starts at 0 (Goyal et al. 2017).
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If `depth` or `width` is impossible, or a dial wrong.
        ImpossibleRunError: If images are too small, or settings are incompatible, see `resnet`.
    """
    settings = Dials(**dials)
    shapes = block_shapes(depth, width)
    channels, height, width_of_image = input_shape
    refuse_small_images((channels, height, width_of_image))
    deepest = shapes[-1].out_channels
    own = norm if head_norm else NormFactory(NoNorm)
    return FCN(
        residual_trunk(channels, norm, shapes, settings, zero_init_residual=zero_init_residual),
        shapes,
        NormedLayer(conv3x3(deepest, deepest), deepest, own, settings),
        optional_dropout(settings.dropout, (deepest, -(-height // 4), -(-width_of_image // 4))),
        num_outputs,
    )
