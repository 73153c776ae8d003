"""A weight layer with its norm and activation, in either order."""

from collections.abc import Callable
from functools import partial
from typing import final

from torch import Tensor, nn

from normbench.models.activations import build_activation
from normbench.models.dials import Dials
from normbench.norms.factory import NormFactory


@final
class NormedLayer(nn.Module):
    """A linear or convolutional layer, a norm and an activation.

    With the norm before the activation y = act(norm(layer(x))), with the norm after it y = norm(act(layer(x))).
    The layer has a bias unless a norm that removes each channel's mean comes directly after it. The submodules are
    named alike whatever the norm, so that arms with one seed share their weights.

    Args:
        layer: Called with ``bias=`` to make the layer.
        num_features: Channels that come out.
        norm: Makes the norm.
        dials: Gives the activation and the place of the norm.
        activated: False leaves the activation out: y = norm(layer(x)).

    Shape:
        As the layer's.
    """

    def __init__(
        self,
        layer: Callable[..., nn.Module],
        num_features: int,
        norm: NormFactory,
        dials: Dials,
        *,
        activated: bool = True,
    ) -> None:
        super().__init__()
        self.norm_first = dials.norm_first
        follows_directly = self.norm_first or not activated
        self.layer = layer(bias=not (follows_directly and norm.removes_channel_mean))
        self.norm = norm(num_features)
        self.activation = build_activation(dials.activation) if activated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return layer, norm and activation of x."""
        y = self.layer(x)
        out = self.activation(self.norm(y)) if self.norm_first else self.norm(self.activation(y))
        assert isinstance(out, Tensor)
        return out


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> Callable[..., nn.Conv2d]:
    """Return a maker of 3x3 convolutions, padded by 1, that waits for ``bias=``."""
    return partial(nn.Conv2d, in_channels, out_channels, kernel_size=3, stride=stride, padding=1)
