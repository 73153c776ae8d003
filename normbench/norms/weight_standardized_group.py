"""Group normalization after a layer with standardised weights."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.norms.group import refuse_single_values, resolved_groups
from normbench.norms.standardized_weights import with_standardized_weights


@final
class WeightStandardizedGroupNorm(nn.Module):
    r"""Normalise groups of channels, and standardise the weights of the previous layer (Qiao et al. 2019).

    $$y = GN(\hat W x + b), \quad \hat W_{ij} = \frac{W_{ij} - E_j[W_i]}{\sqrt{Var_j[W_i] + 10^{-6}}}$$

    with GN as in `group`. The model calls `weighted` to standardise the layer; this module is the group norm.

    Args:
        num_features: Channels C.
        num_groups: Groups; must divide C. None takes `default_groups`.
        eps: Added to the variance of a group.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.

    Attributes:
        num_groups: The groups in use, the default resolved.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: If `num_groups` does not divide C; in forward, if a group is a single value.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(
        self, num_features: int, *, num_groups: int | None = None, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_groups = resolved_groups(num_features, num_groups)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    @staticmethod
    def weighted(layer: nn.Module) -> nn.Module:
        """Return the previous layer with its weights standardised."""
        return with_standardized_weights(layer, by_fan_in=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        refuse_single_values(x, self.num_groups)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, num_groups={self.num_groups}, eps={self.eps}, affine={self.weight is not None}"
