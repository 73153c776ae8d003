"""A compact single-shot detector (Liu et al. 2016) on the residual network for small images."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.resnet import residual_trunk
from normbench.models.images.staged import ResidualTrunk, block_shapes, conv3x3, refuse_small_images
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory
from normbench.norms.none import NoNorm
from normbench.shapes import BoxShape

_STRIDE = 4
ANCHORS = [14.0, 20.0, 28.0]
PRIOR = 0.01
"""Initial score of every class at every anchor: most are background (Lin et al. 2017)."""

_HEAD_SCALE = 0.1
"""Factor of the initial weights of the last convolutions, so that scores begin near the prior and boxes at anchors."""


@final
class SSD(nn.Module):
    """A residual network, a layer, and two convolutions for the classes and boxes of the anchors at each place.

    Args:
        trunk: The residual network, whose last map has a quarter of the image's height and width.
        layer: A layer before the last convolutions.
        dropout: Applied after it.
        anchors: The anchors, (A, 4), in the order of places and then of sizes.
        features: Channels of the last map.
        num_outputs: Classes K.

    Shape:
        (N, C, H, W) to (N, A, 4 + 4 + K): anchors, deltas and logits.
    """

    per_class = ("head",)
    anchors: Tensor

    def __init__(
        self,
        trunk: ResidualTrunk,
        layer: nn.Module,
        dropout: nn.Module,
        anchors: Tensor,
        *,
        sizes: int,
        features: int,
        num_outputs: int,
    ) -> None:
        super().__init__()
        self.stem = trunk.stem
        self.blocks = nn.ModuleList(trunk.blocks)
        self.layer = layer
        self.dropout = dropout
        self.head = conv3x3(features, sizes * num_outputs)(bias=True)
        self.deltas = conv3x3(features, sizes * 4)(bias=True)
        self.sizes = sizes
        self.register_buffer("anchors", anchors, persistent=False)
        self.init = replace(
            trunk.init,
            factors={**trunk.init.factors, "head.weight": _HEAD_SCALE, "deltas.weight": _HEAD_SCALE},
            constants={**trunk.init.constants, "head.bias": -math.log((1 - PRIOR) / PRIOR)},
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return anchors, deltas and logits for x, (N, C, H, W)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.dropout(self.layer(x))
        found = (self._by_anchor(made(x)) for made in (self.deltas, self.head))
        return torch.cat((self.anchors.expand(len(x), -1, -1), *found), dim=-1)

    def _by_anchor(self, maps: Tensor) -> Tensor:
        """Return maps (N, sizes * D, H, W) as (N, H * W * sizes, D)."""
        count, _, rows, columns = maps.shape
        return maps.reshape(count, self.sizes, -1, rows, columns).permute(0, 3, 4, 1, 2).flatten(1, 3)


def ssd(
    input_shape: BoxShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    depth: int = 8,
    width: int = 8,
    anchors: Sequence[float] = ANCHORS,
    head_norm: bool = True,
    zero_init_residual: bool = False,
    **dials: Any,
) -> SSD:
    """Return a single-shot detector.

    Args:
        input_shape: The images, at least 4x4 pixels.
        num_outputs: Classes K.
        norm: Makes the norm after each 3x3 convolution but the last two.
        depth: Weight layers of the residual network with the head it has for classification, 6n + 2.
        width: Channels of its first stage.
        anchors: Sides of the square anchors around each place of its last map, in pixels.
        head_norm: Whether there is a norm between the residual network and the last convolutions.
        zero_init_residual: Whether the gamma of each branch's last norm starts at 0 (Goyal et al. 2017).
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If `depth` or `width` is impossible, there are no anchors, or a dial is wrong.
        ImpossibleRunError: If images are too small, or settings are incompatible, see `resnet`.
    """
    if not anchors:
        raise ConfigError("model.anchors: got [], expected the side of one square or more, in pixels")
    settings = Dials(**dials)
    shapes = block_shapes(depth, width)
    channels, *size, _ = input_shape
    refuse_small_images((channels, size[0], size[1]))
    features = shapes[-1].out_channels
    rows, columns = (-(-side // _STRIDE) for side in size)
    own = norm if head_norm else NormFactory(NoNorm)
    return SSD(
        residual_trunk(channels, norm, shapes, settings, zero_init_residual=zero_init_residual),
        NormedLayer(conv3x3(features, features), features, own, settings),
        optional_dropout(settings.dropout, (features, rows, columns)),
        square_anchors(rows, columns, anchors),
        sizes=len(anchors),
        features=features,
        num_outputs=num_outputs,
    )


def square_anchors(rows: int, columns: int, sides: Sequence[float]) -> Tensor:
    """Return anchors around the middle of each place of a map, (rows * columns * len(sides), 4), in pixels."""
    y, x = (_STRIDE * (torch.arange(count) + 0.5) for count in (rows, columns))
    middles = torch.stack((x.expand(rows, -1), y.unsqueeze(1).expand(-1, columns)), dim=-1).unsqueeze(2)
    half = torch.tensor(sides).reshape(-1, 1) / 2
    return torch.cat((middles - half, middles + half), dim=-1).flatten(0, 2)
