"""Models under one signature: ``model(input_shape, num_classes, norm, *, <keys of the YAML>)``.

`REGISTRY` is loaded on first use: a config check needs only `activations` and `dials`, which do not import torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.models.registry import REGISTRY

__all__ = ["REGISTRY"]


def __getattr__(name: str) -> Any:
    if name != "REGISTRY":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from normbench.models.registry import REGISTRY

    return REGISTRY
