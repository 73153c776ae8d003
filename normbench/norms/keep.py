"""The choice to keep the norms of somebody else's model."""

from typing import ClassVar, final

from torch import nn

from normbench.errors import ImpossibleRunError


@final
class Keep(nn.Module):
    """Placeholder for a model's own norms; it cannot be constructed.

    Args:
        num_features: Channels C, for the signature that all norms share.

    Raises:
        ImpossibleRunError: Always: a model that requests a layer has no norms of its own to keep.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int) -> None:
        super().__init__()
        raise ImpossibleRunError(
            "norm=keep keeps a model's own norms, and this model has none: it is built with the run's norm; "
            "use model=own, timm or torchvision, or another norm."
        )
