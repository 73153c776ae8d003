"""Root-mean-square normalization."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.norms.channels import scale_and_shift


@final
class RMSNorm(nn.Module):
    r"""Divide each sample by the root mean square over its channels and positions (Zhang & Sennrich 2019).

    $$y = \frac{x}{\sqrt{E_{C,H,W}[x^2] + \epsilon}} * \gamma$$

    It is `layer` without the mean and without beta; on maps it also averages over all positions.

    Args:
        num_features: Channels C.
        eps: Added to the mean square.
        affine: Whether to learn gamma (``weight``, 1 at first) for each channel.

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

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        if x.numel() == x.shape[0]:
            raise ImpossibleRunError(
                f"RMS norm has only one value per sample (input {tuple(x.shape)}): its output would be the sign "
                "of the input; use a wider layer."
            )
        mean_square = x.square().mean(list(range(1, x.ndim)), keepdim=True)
        return scale_and_shift(x * torch.rsqrt(mean_square + self.eps), self.weight, None)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
