"""A multilayer perceptron."""

from functools import partial
from math import prod
from typing import Any, final

from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.models.dials import Dials
from normbench.models.dropout import optional_dropout
from normbench.models.initialization import Initialization
from normbench.models.layers import NormedLayer
from normbench.norms.factory import NormFactory


@final
class MLP(nn.Module):
    """Hidden layers of one width, each with linear layer, norm and activation in either order, and dropout; a head.

    Args:
        input_shape: (C, H, W), flattened.
        num_classes: Classes K.
        norm: Makes the norm of each hidden layer.
        width: Units per hidden layer.
        depth: Number of hidden layers.
        dials: The shared settings.

    Shape:
        (N, C, H, W) to logits (N, K).
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        norm: NormFactory,
        *,
        width: int,
        depth: int,
        dials: Dials,
    ) -> None:
        super().__init__()
        widths = [prod(input_shape), *[width] * depth]
        self.layers = nn.ModuleList(
            NormedLayer(partial(nn.Linear, fan_in, width), width, norm, dials) for fan_in in widths[:-1]
        )
        self.dropouts = nn.ModuleList(optional_dropout(dials.dropout, (width,)) for _ in range(depth))
        self.head = nn.Linear(width, num_classes)
        self.init = Initialization(dials.init, dials.activation, dials.init_scale, bias=dials.bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, (N, C, H, W)."""
        x = x.flatten(1)
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            x = dropout(layer(x))
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module calls are untyped


def mlp(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    width: int = 128,
    depth: int = 3,
    **dials: Any,
) -> MLP:
    """Return an `MLP`.

    Args:
        input_shape: (C, H, W).
        num_classes: Classes K.
        norm: Makes the norm of each hidden layer.
        width: Units per hidden layer.
        depth: Number of hidden layers.
        **dials: The fields of `Dials`.

    Raises:
        ConfigError: If `width` or `depth` is below 1, or a dial wrong.
        ImpossibleRunError: If `init` is one for residual networks.
    """
    if width < 1 or depth < 1:
        raise ConfigError(f"model=mlp: got width={width} and depth={depth}, expected integers of at least 1.")
    settings = Dials(**dials)
    settings.refuse_residual_init("mlp")
    return MLP(input_shape, num_classes, norm, width=width, depth=depth, dials=settings)
