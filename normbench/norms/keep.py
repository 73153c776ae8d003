"""The choice to leave the norms of somebody else's model as they are."""

from typing import ClassVar, final

from torch import nn

from normbench.errors import ImpossibleRunError


@final
class Keep(nn.Module):
    """Stand for the norms that a model comes with; there is no layer of this kind.

    Args:
        num_features: Channels C, for the signature that all norms share.

    Raises:
        ImpossibleRunError: Always: whoever asks for a layer has none of its own to keep.
    """

    removes_channel_mean: ClassVar[bool] = False
    batch_statistics: ClassVar[bool] = False

    def __init__(self, num_features: int) -> None:
        super().__init__()
        raise ImpossibleRunError(
            "norm=keep keeps a model's own norms, and this model has none: it is built with the run's norm; "
            "use model=own, timm or torchvision, or another norm."
        )
