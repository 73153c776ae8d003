"""EvoNorm-S0: normalization and activation in one layer, with statistics per sample."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import over_positions, scale_and_shift
from normbench.norms.group import refuse_single_values, resolved_groups


@final
class EvoNormS0(nn.Module):
    r"""Divide a swish of the input by the deviation of its group of channels (Liu et al. 2020).

    $$y = \frac{x \, \sigma(v x)}{\sqrt{Var_g[x] + \epsilon}} * \gamma + \beta$$

    where sigma is the logistic function and g runs over the C / num_groups channels of a group and all positions. The
    activation is included: a model adds none after it.

    Args:
        num_features: Channels C.
        num_groups: Groups; must divide C. None takes `default_groups` (the paper has 32).
        eps: Added to the variance.
        activated: False gives gamma x + beta, as the authors do without an activation.

    Attributes:
        v: Learnt for each channel, (C,), 1 at first; None if not activated.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: If `num_groups` does not divide C; in forward, if a group is a single value.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False
    includes_activation: ClassVar[bool] = True

    def __init__(
        self, num_features: int, *, num_groups: int | None = None, eps: float = 1e-5, activated: bool = True
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_groups = resolved_groups(num_features, num_groups)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.v = nn.Parameter(torch.ones(num_features)) if activated else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate x, (N, C, ...)."""
        if self.v is None:
            return scale_and_shift(x, self.weight, self.bias)
        refuse_single_values(x, self.num_groups)
        grouped = x.reshape(x.shape[0], self.num_groups, -1)
        var = grouped.var(2, correction=0).repeat_interleave(self.num_features // self.num_groups, dim=1)
        y = x * torch.sigmoid(over_positions(self.v, x) * x) * torch.rsqrt(over_positions(var, x) + self.eps)
        return scale_and_shift(y, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, num_groups={self.num_groups}, eps={self.eps}, activated={self.v is not None}"
