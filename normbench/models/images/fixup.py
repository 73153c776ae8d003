"""Fixup (Zhang, Dauphin & Ma 2019): residual networks trained without norms."""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.activations import build_activation
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.shortcut import shortcut
from normbench.models.images.staged import BlockShape, ResidualTrunk, StagedNet, conv3x3
from normbench.models.initialization import Initialization
from normbench.norms.factory import NormFactory
from normbench.norms.none import NoNorm

_BRANCH_LAYERS = 2


@final
class ScalarBias(nn.Module):
    """Add one learnable number, 0 at first: y = x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + b, in the shape of x."""
        return x + self.bias


@final
class BareConv(nn.Module):
    """A 3x3 convolution without bias; its weight has the same name as in `NormedLayer`."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.layer = conv3x3(in_channels, out_channels, stride=stride)(bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x, (N, C_in, H, W)."""
        return self.layer(x)  # type: ignore[no-any-return]  # nn.Module calls are untyped


@final
class FixupBlock(nn.Module):
    """A residual block with scalars instead of norms.

    y = act(shortcut(x) + scale * conv2(act(conv1(x + b1) + b2) + b3) + b4), scale 1 and every b 0 at first.

    Shape:
        (N, C_in, H, W) to (N, C_out, H / stride, W / stride), halves rounded up.
    """

    def __init__(self, shape: BlockShape, dials: Dials) -> None:
        super().__init__()
        self.shape = shape
        out = shape.out_channels
        self.bias1 = ScalarBias()
        self.first = BareConv(shape.in_channels, out, stride=shape.stride)
        self.bias2 = ScalarBias()
        self.bias3 = ScalarBias()
        self.second = BareConv(out, out)
        self.scale = nn.Parameter(torch.ones(()))
        self.bias4 = ScalarBias()
        self.activation = build_activation(dials.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block of x, (N, C_in, H, W)."""
        y = self.activation(self.bias2(self.first(self.bias1(x))))
        y = self.bias4(self.scale * self.second(self.bias3(y)))
        return self.activation(shortcut(x, self.shape) + y)  # type: ignore[no-any-return]  # as above


def fixup_resnet(
    in_channels: int, num_classes: int, norm: NormFactory, *, shapes: list[BlockShape], dials: Dials
) -> StagedNet:
    """Return the residual network with the scalars and the initialisation of Fixup; its head is zero at first.

    Args:
        in_channels: Channels C of the images.
        num_classes: Classes K.
        norm: Must be the norm `none`.
        shapes: Shapes of the blocks.
        dials: The shared settings.

    Raises:
        ImpossibleRunError: See `fixup_trunk`.
    """
    trunk = fixup_trunk(in_channels, norm, shapes=shapes, dials=dials)
    features = shapes[-1].out_channels
    return StagedNet(
        stem=trunk.stem,
        blocks=trunk.blocks,
        pooled=nn.Sequential(optional_dropout(dials.dropout, (features,)), ScalarBias()),
        head=nn.Linear(features, num_classes),
        init=replace(trunk.init, factors={**trunk.init.factors, "head.weight": 0.0}),
    )


def fixup_trunk(in_channels: int, norm: NormFactory, *, shapes: list[BlockShape], dials: Dials) -> ResidualTrunk:
    """Return the residual network without its head, with the scalars and the initialisation of Fixup.

    With L branches of m = 2 layers, the first convolution of a branch is scaled by L^(-1/(2m-2)), the last one is
    zero, and the rest uses He initialisation.

    Args:
        in_channels: Channels C of the images.
        norm: Must be the norm `none`.
        shapes: Shapes of the blocks.
        dials: The shared settings.

    Raises:
        ImpossibleRunError: If there is a norm, `norm_placement` is `after`, or `bias_init` is not 0.
    """
    if norm.norm is not NoNorm:
        raise ImpossibleRunError(
            "model.init=fixup replaces the norms: a norm after its zero convolutions would divide by zero variance. "
            "Use norm=none, or init=he or skipinit."
        )
    if not dials.norm_first:
        raise ImpossibleRunError(
            "model.init=fixup places activations as norm_placement=before does; an activation after its zero "
            "convolutions would block the gradient. Use norm_placement=before."
        )
    if dials.bias_init:
        raise ImpossibleRunError(
            f"model.bias_init={dials.bias_init:g} has no effect with model.init=fixup, whose layers have no "
            "channel biases. Use init=he or skipinit, or bias_init=0."
        )
    stem = nn.Sequential(BareConv(in_channels, shapes[0].in_channels), ScalarBias(), build_activation(dials.activation))
    blocks = [FixupBlock(shape, dials) for shape in shapes]
    return ResidualTrunk(
        stem, blocks, Initialization("he", dials.activation, dials.init_scale, factors=_factors(len(shapes)))
    )


def _factors(branches: int) -> dict[str, float]:
    small = branches ** (-1 / (2 * _BRANCH_LAYERS - 2))
    firsts = {f"blocks.{index}.first.layer.weight": small for index in range(branches)}
    lasts = {f"blocks.{index}.second.layer.weight": 0.0 for index in range(branches)}
    return {**firsts, **lasts}
