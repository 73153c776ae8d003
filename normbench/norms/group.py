"""Group normalization."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError

_PAPER_GROUPS = 32
_FEWEST = 4


@final
class GroupNorm(nn.Module):
    r"""Normalise each sample over groups of channels (Wu & He 2018).

    $$y = \frac{x - E_g[x]}{\sqrt{Var_g[x] + \epsilon}} * \gamma + \beta$$

    where g runs over the C / num_groups channels of a group and all positions; gamma and beta belong to channels.

    Args:
        num_features: Channels C.
        num_groups: Groups; must divide C. None takes `default_groups`.
        eps: Added to the variance.
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

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, ...)."""
        refuse_single_values(x, self.num_groups)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}, num_groups={self.num_groups}, eps={self.eps}, affine={self.weight is not None}"


def resolved_groups(num_features: int, num_groups: int | None) -> int:
    """Return the groups of a norm, `default_groups` if `num_groups` is None.

    Raises:
        ImpossibleRunError: If they do not divide the channels.
    """
    groups = default_groups(num_features) if num_groups is None else num_groups
    if groups not in divisors(num_features):
        raise ImpossibleRunError(
            f"num_groups={num_groups} does not divide the {num_features} channels of a group norm; "
            f"choose one of {', '.join(map(str, divisors(num_features)))}, or null."
        )
    return groups


def refuse_single_values(x: Tensor, num_groups: int) -> None:
    """Raise if a group of x, (N, C, ...), is a single value.

    Raises:
        ImpossibleRunError: If it is.
    """
    if x.numel() == x.shape[0] * num_groups:
        raise ImpossibleRunError(
            f"group norm has only one value per group (input {tuple(x.shape)}, num_groups={num_groups}): "
            "its output would be the bias for any input; use fewer groups."
        )


def divisors(number: int) -> list[int]:
    """Return the divisors of a positive integer, ascending."""
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def default_groups(num_features: int) -> int:
    """Return the largest divisor of the channels up to 32, the paper's choice, with at least four channels per group.

    With one channel per group, an MLP's output would not depend on its input (each group is a single value), and on
    maps the layer would be instance norm. Two values normalised together are plus and minus one, a sign function that
    passes hardly any gradient.

    Args:
        num_features: Channels C.

    Returns:
        The number of groups; 1 if no divisor gives four channels per group.
    """
    fitting = [groups for groups in divisors(num_features) if groups <= min(_PAPER_GROUPS, num_features // _FEWEST)]
    return fitting[-1] if fitting else 1
