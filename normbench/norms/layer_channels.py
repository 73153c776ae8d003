"""Layer normalization over the channels of each position."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError


@final
class ChannelLayerNorm(nn.Module):
    r"""Normalise the channels of each sample and position (Ba, Kiros & Hinton 2016, as in ConvNeXt: Liu et al. 2022).

    $$y = \frac{x - E_C[x]}{\sqrt{Var_C[x] + \epsilon}} * \gamma + \beta$$

    On features (N, C) this is `layer`; on maps, `layer` averages over positions too.

    Args:
        num_features: Channels C, at least 2.
        eps: Added to the variance.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: If there is a single channel.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        if num_features == 1:
            raise ImpossibleRunError(
                "layer norm over channels has only one channel: its output would be the bias for any input; "
                "use a wider layer."
            )
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        y = F.layer_norm(x.movedim(1, -1), (self.num_features,), self.weight, self.bias, self.eps)
        return y.movedim(-1, 1)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
