"""A small network of 3x3 convolutions and max-pooling (Simonyan & Zisserman 2015)."""

from typing import Any

from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.images.staged import StagedNet, conv3x3
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory


def vgg(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int = 3,
    width: int = 16,
    **dials: Any,
) -> StagedNet:
    """Return stages of two 3x3 convolutions and a max-pooling, a global average pool and a linear head.

    Args:
        input_shape: (C, H, W), at least 2^depth pixels high and wide.
        num_classes: Classes K.
        norm: Makes the norm after each convolution.
        depth: Stages, each of which ends with maps of half the size.
        width: Channels of the first stage; each further one has twice as many.
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If a dial is wrong.
        ImpossibleRunError: If images are too small, or `init` needs residual branches.
    """
    settings = Dials(**dials)
    settings.refuse_residual_init("vgg")
    channels, *size = input_shape
    if min(size) < 2**depth:
        raise ImpossibleRunError(
            f"images of {size[0]}x{size[1]} are too small: model.depth={depth} halves them {depth} times and needs at "
            f"least {2**depth}x{2**depth}. Use larger images or a smaller depth."
        )
    stages = []
    for stage in range(depth):
        out = width * 2**stage
        layers = (NormedLayer(conv3x3(inputs, out), out, norm, settings) for inputs in (channels, out))
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        channels = out
    return StagedNet(
        stem=nn.Identity(),
        blocks=stages,
        pooled=optional_dropout(settings.dropout, (channels,)),
        head=nn.Linear(channels, num_classes),
        init=Initialization(settings.init, settings.activation, settings.init_scale, bias=settings.bias_init),
    )
