"""Linear and convolutional layers that apply their weights standardised (Qiao et al. 2019)."""

from typing import final

import torch
from torch import Tensor, nn

_EPS = 1e-6
"""Added to the variance of a unit's weights, as in timm."""


def standardized(weight: Tensor, *, by_fan_in: bool) -> Tensor:
    r"""Return weights with mean 0 and variance 1 for each unit, or variance 1 / fan-in.

    $$\hat W_{ij} = \frac{W_{ij} - E_j[W_i]}{\sqrt{Var_j[W_i] + \epsilon}}, \quad
    \text{or } \frac{1}{\sqrt{n}} \hat W_{ij} \text{ with fan-in n}$$

    Args:
        weight: (out, in, ...).
        by_fan_in: Whether to divide by the root of the fan-in.
    """
    var, mean = torch.var_mean(weight, list(range(1, weight.ndim)), correction=0, keepdim=True)
    scale = torch.rsqrt(var + _EPS)
    if by_fan_in:
        scale = scale * weight[0].numel() ** -0.5
    return (weight - mean) * scale


@final
class StandardizedLinear(nn.Linear):
    """`nn.Linear` that applies its weight standardised; initial weights and the state dict are those of `nn.Linear`."""

    by_fan_in = False

    def forward(self, x: Tensor) -> Tensor:
        """Return W^ x + b."""
        return nn.functional.linear(x, standardized(self.weight, by_fan_in=self.by_fan_in), self.bias)


@final
class StandardizedConv2d(nn.Conv2d):
    """`nn.Conv2d` that applies its weight standardised; initial weights and the state dict are those of `nn.Conv2d`."""

    by_fan_in = False

    def forward(self, x: Tensor) -> Tensor:
        """Return W^ * x + b."""
        y: Tensor = self._conv_forward(x, standardized(self.weight, by_fan_in=self.by_fan_in), self.bias)
        return y


def with_standardized_weights(layer: nn.Module, *, by_fan_in: bool) -> nn.Module:
    """Return a layer of the same shape that shares the parameters of `layer` and applies its weight standardised.

    Args:
        layer: An `nn.Linear` or `nn.Conv2d`.
        by_fan_in: See `standardized`.
    """
    made: StandardizedLinear | StandardizedConv2d
    if isinstance(layer, nn.Linear):
        made = StandardizedLinear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    else:
        assert isinstance(layer, nn.Conv2d), f"{type(layer).__name__} has no standardised counterpart"
        made = StandardizedConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # a pair, as nn.Conv2d keeps it
            stride=layer.stride,  # type: ignore[arg-type]  # the same
            padding=layer.padding,  # type: ignore[arg-type]  # the same
            dilation=layer.dilation,  # type: ignore[arg-type]  # the same
            groups=layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
        )
    made.weight, made.bias = layer.weight, layer.bias
    made.by_fan_in = by_fan_in
    return made
