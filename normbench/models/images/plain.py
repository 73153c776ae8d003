"""The residual network without its shortcuts."""

from functools import partial
from typing import Any, final

from torch import Tensor, nn

from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.staged import BlockShape, StagedNet, block_shapes, conv3x3, refuse_small_images
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory


@final
class PlainBlock(nn.Module):
    """Two 3x3 convolutions, each with norm and activation, named as in `ResidualBlock`.

    Shape:
        (N, C_in, H, W) to (N, C_out, H / stride, W / stride), halves rounded up.
    """

    def __init__(self, shape: BlockShape, norm: NormFactory, dials: Dials) -> None:
        super().__init__()
        out = shape.out_channels
        self.first = NormedLayer(conv3x3(shape.in_channels, out, stride=shape.stride), out, norm, dials)
        self.second = NormedLayer(conv3x3(out, out), out, norm, dials)

    def forward(self, x: Tensor) -> Tensor:
        """Return both layers of x, (N, C_in, H, W)."""
        return self.second(self.first(x))  # type: ignore[no-any-return]  # nn.Module calls are untyped


def plain(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int = 20,
    width: int = 16,
    **dials: Any,
) -> StagedNet:
    """Return the plain network that He et al. (2016, section 4.2) compare the residual one with.

    It is `resnet` without the shortcuts: the convolutions have the same names, so one seed gives both the same
    weights.

    Args:
        input_shape: (C, H, W), at least 4x4 pixels.
        num_classes: Classes K.
        norm: Makes the norm after each convolution.
        depth: Weight layers, 6n + 2.
        width: Channels of the first stage.
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If `depth` or `width` is impossible, or a dial wrong.
        ImpossibleRunError: If images are too small or `init` is one for residual networks.
    """
    settings = Dials(**dials)
    settings.refuse_residual_init("plain")
    shapes = block_shapes(depth, width)
    refuse_small_images(input_shape)
    build = partial(PlainBlock, norm=norm, dials=settings)
    features = shapes[-1].out_channels
    return StagedNet(
        stem=NormedLayer(conv3x3(input_shape[0], width), width, norm, settings),
        blocks=[build(shape) for shape in shapes],
        pooled=optional_dropout(settings.dropout, (features,)),
        head=nn.Linear(features, num_classes),
        init=Initialization(settings.init, settings.activation, settings.init_scale, bias=settings.bias_init),
    )
