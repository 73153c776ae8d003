"""The residual network for small images (He et al. 2016, section 4.2)."""

from typing import Any, final

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.activations import build_activation
from normbench.models.dials import RESIDUAL_INITS, Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.fixup import fixup_resnet, fixup_trunk
from normbench.models.images.shortcut import shortcut
from normbench.models.images.staged import (
    BlockShape,
    ResidualTrunk,
    StagedNet,
    block_shapes,
    conv3x3,
    refuse_small_images,
)
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory


@final
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut without parameters.

    With the norm before the activation, He et al.'s block: y = act(shortcut(x) + norm(conv2(act(norm(conv1(x)))))).
    With the norm after it, y = shortcut(x) + norm(act(conv2(norm(act(conv1(x)))))): each norm stays in the branch and
    follows its convolution's activation, and the sum is unchanged. A norm on the sum would also normalise the shortcut,
    and so compare two networks, not two placements.

    With `skipinit` the branch is multiplied by a learnable number, 0 at first (De & Smith 2020).

    Shape:
        (N, C_in, H, W) to (N, C_out, H / stride, W / stride), halves rounded up.
    """

    def __init__(self, shape: BlockShape, norm: NormFactory, dials: Dials) -> None:
        super().__init__()
        self.shape = shape
        out = shape.out_channels
        self.first = NormedLayer(conv3x3(shape.in_channels, out, stride=shape.stride), out, norm, dials)
        self.second = NormedLayer(conv3x3(out, out), out, norm, dials, activated=not dials.norm_first)
        self.scale = nn.Parameter(torch.zeros(())) if dials.init == "skipinit" else None
        self.join = build_activation(dials.activation) if dials.norm_first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block of x, (N, C_in, H, W)."""
        y = self.second(self.first(x))
        if self.scale is not None:
            y = self.scale * y
        return self.join(shortcut(x, self.shape) + y)  # type: ignore[no-any-return]  # nn.Module calls are untyped


def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int = 20,
    width: int = 16,
    zero_init_residual: bool = False,
    **dials: Any,
) -> StagedNet:
    """Return a residual network of 6n + 2 layers with shortcuts of option A.

    Args:
        input_shape: (C, H, W), at least 4x4 pixels.
        num_classes: Classes K.
        norm: Makes the norm after each convolution.
        depth: Weight layers, 6n + 2.
        width: Channels of the first stage.
        zero_init_residual: Whether the gamma of each branch's last norm starts at 0 (Goyal et al. 2017).
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If `depth` or `width` is impossible, or a dial wrong.
        ImpossibleRunError: If images are too small, or settings are incompatible: `fixup` needs no norm and no
            `bias_init`, `zero_init_residual` a norm with a gamma and no `skipinit`.
    """
    settings = Dials(**dials)
    shapes = block_shapes(depth, width)
    refuse_small_images(input_shape)
    if settings.init == "fixup" and not zero_init_residual:
        return fixup_resnet(input_shape[0], num_classes, norm, shapes=shapes, dials=settings)
    trunk = residual_trunk(input_shape[0], norm, shapes, settings, zero_init_residual=zero_init_residual)
    features = shapes[-1].out_channels
    return StagedNet(
        stem=trunk.stem,
        blocks=trunk.blocks,
        pooled=optional_dropout(settings.dropout, (features,)),
        head=nn.Linear(features, num_classes),
        init=trunk.init,
    )


def residual_trunk(
    in_channels: int, norm: NormFactory, shapes: list[BlockShape], dials: Dials, *, zero_init_residual: bool
) -> ResidualTrunk:
    """Return the residual network without its head.

    Args:
        in_channels: Channels C of the images.
        norm: Makes the norm after each convolution.
        shapes: Shapes of the blocks.
        dials: The shared settings.
        zero_init_residual: Whether the gamma of each branch's last norm starts at 0.

    Raises:
        ImpossibleRunError: If settings are incompatible, see `resnet`.
    """
    if dials.init in RESIDUAL_INITS and zero_init_residual:
        raise ImpossibleRunError(
            f"zero_init_residual=true and init={dials.init} both start the residual branches at zero; "
            "together, the branches would stay there. Choose one."
        )
    if dials.init == "fixup":
        return fixup_trunk(in_channels, norm, shapes=shapes, dials=dials)
    width = shapes[0].in_channels
    blocks = [ResidualBlock(shape, norm, dials) for shape in shapes]
    gammas = _gamma_names(blocks) if zero_init_residual else []
    init = Initialization(
        "he" if dials.init == "skipinit" else dials.init,
        dials.activation,
        dials.init_scale,
        constants=dict.fromkeys(gammas, 0.0),
        bias=dials.bias_init,
    )
    return ResidualTrunk(NormedLayer(conv3x3(in_channels, width), width, norm, dials), blocks, init)


def refuse_missing_gamma(norm: nn.Module) -> None:
    """Raise if a norm has no ``weight`` that could start at zero.

    Raises:
        ImpossibleRunError: If there is no such parameter.
    """
    if not isinstance(getattr(norm, "weight", None), nn.Parameter):
        raise ImpossibleRunError(
            f"zero_init_residual=true zeroes the scale of each residual branch's last norm, and {norm} has none; "
            "use a norm with affine=true, or zero_init_residual=false."
        )


def _gamma_names(blocks: list[ResidualBlock]) -> list[str]:
    for block in blocks:
        refuse_missing_gamma(block.second.norm)
    return [f"blocks.{index}.second.norm.weight" for index in range(len(blocks))]
