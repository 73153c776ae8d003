"""Scaled weight standardization in place of a norm of activations."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import scale_and_shift
from normbench.norms.standardized_weights import with_standardized_weights


@final
class ScaledWeight(nn.Module):
    r"""Preserve the signal's variance by standardising the previous layer's weights (Brock, De & Smith 2021).

    $$y = \gamma g * (\hat W x + b), \quad
    \hat W_{ij} = \frac{W_{ij} - E_j[W_i]}{\sqrt{n (Var_j[W_i] + 10^{-6})}}$$

    with fan-in n and a learnt gain g for each channel; it uses no activation statistics. The model calls `weighted` to
    standardise the layer; this module is the factor. The authors put the factor inside the convolution, which differs
    only for the bias, and use residual branches that start at zero: ``model.init=skipinit``.

    Args:
        num_features: Channels C.
        activation_gain: gamma, which compensates for the activation: sqrt(2 / (1 - 1 / pi)) for ReLU.
        affine: Whether to learn g (``weight``, 1 at first).

    Shape:
        (N, C) or (N, C, ...) to the same.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int, *, activation_gain: float = 1.7139588594436646, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.activation_gain = activation_gain
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None

    @staticmethod
    def weighted(layer: nn.Module) -> nn.Module:
        """Return the previous layer with its weights standardised to a variance of 1 / fan-in."""
        return with_standardized_weights(layer, by_fan_in=True)

    def forward(self, x: Tensor) -> Tensor:
        """Scale x, (N, C, ...)."""
        return scale_and_shift(self.activation_gain * x, self.weight, None)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, activation_gain={self.activation_gain}, affine={self.weight is not None}"
