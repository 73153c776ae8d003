"""No normalization: the control arm."""

from typing import ClassVar, final

from torch import Tensor, nn


@final
class NoNorm(nn.Module):
    """Return the input: y = x.

    Args:
        num_features: Channels C, for the signature that all norms share.

    Shape:
        Any to the same.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return f"{self.num_features}"
