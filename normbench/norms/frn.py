"""Filter response normalization with its thresholded linear unit."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import over_positions, refuse_single_positions, scale_and_shift


@final
class FilterResponseNorm(nn.Module):
    r"""Divide each channel of a sample by its root mean square over positions; threshold (Singh & Krishnan 2020).

    $$y = \max\left(\frac{x}{\sqrt{E_{H,W}[x^2] + \epsilon}} * \gamma + \beta, \tau\right)$$

    The maximum is the activation: a model adds none after it. The authors' learnt epsilon, for maps of one position, is
    not implemented: such maps are refused.

    Args:
        num_features: Channels C.
        eps: Added to the mean square.
        activated: Whether to threshold, with a learnt tau (``tau``, 0 at first) for each channel; a model sets False
            where it has no activation, such as before the sum of a residual block.

    Shape:
        (N, C, ...) to the same, with at least two positions.

    Raises:
        ImpossibleRunError: In forward on (N, C) or 1x1 maps.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False
    needs_positions: ClassVar[bool] = True
    includes_activation: ClassVar[bool] = True

    def __init__(self, num_features: int, *, eps: float = 1e-6, activated: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.tau = nn.Parameter(torch.zeros(num_features)) if activated else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        refuse_single_positions(x, "filter response norm")
        mean_square = x.square().mean(list(range(2, x.ndim)), keepdim=True)
        y = scale_and_shift(x * torch.rsqrt(mean_square + self.eps), self.weight, self.bias)
        return y if self.tau is None else torch.maximum(y, over_positions(self.tau, y))

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, eps={self.eps}, activated={self.tau is not None}"
