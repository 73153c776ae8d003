"""Instance normalization."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.norms.channels import refuse_single_positions


@final
class InstanceNorm(nn.Module):
    r"""Normalise each channel of each sample over its positions (Ulyanov, Vedaldi & Lempitsky 2016).

    $$y = \frac{x - E_{H,W}[x]}{\sqrt{Var_{H,W}[x] + \epsilon}} * \gamma + \beta$$

    Args:
        num_features: Channels C.
        eps: Added to the variance.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel; on,
            as in the other norms; torch's default is off.

    Shape:
        (N, C, ...) to the same, with at least two positions.

    Raises:
        ImpossibleRunError: In forward on (N, C) or 1x1 maps, in training and evaluation.
    """

    removes_channel_mean: ClassVar[bool] = True
    batch_statistics: ClassVar[bool] = False
    needs_positions: ClassVar[bool] = True

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        # torch would read (N, C) as one sample of N channels.
        refuse_single_positions(x, "instance norm")
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
