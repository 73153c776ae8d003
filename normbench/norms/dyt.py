"""Dynamic tanh: a squashing function in place of a norm."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import scale_and_shift


@final
class DynamicTanh(nn.Module):
    r"""Squash each value; no statistics at all (Zhu et al. 2025).

    $$y = \gamma * \tanh(\alpha x) + \beta$$

    Args:
        num_features: Channels C.
        alpha: Initial value of the learnt scalar alpha (``alpha``).
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.

    Shape:
        (N, C) or (N, C, ...) to the same.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int, *, alpha: float = 0.5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.start = alpha
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Squash x, (N, C, ...)."""
        return scale_and_shift(torch.tanh(self.alpha * x), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, alpha={self.start}, affine={self.weight is not None}"
