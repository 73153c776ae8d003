"""Layer normalization over all features of a sample."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError


@final
class LayerNorm(nn.Module):
    r"""Normalise each sample over its channels and positions (Ba, Kiros & Hinton 2016).

    $$y = \frac{x - E_{C,H,W}[x]}{\sqrt{Var_{C,H,W}[x] + \epsilon}} * \gamma + \beta$$

    On maps this is GroupNorm with one group: gamma and beta belong to channels, not to positions.

    Args:
        num_features: Channels C.
        eps: Added to the variance.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: In forward, if a sample is a single value.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        if x.numel() == x.shape[0]:
            raise ImpossibleRunError(
                f"layer norm has only one value per sample (input {tuple(x.shape)}): its output would be the bias "
                "for any input; use a wider layer."
            )
        if x.ndim == 2:
            return F.layer_norm(x, (self.num_features,), self.weight, self.bias, self.eps)
        return F.group_norm(x, 1, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
