"""Detection of the normalization layers of torch, torchvision and timm in somebody else's model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.lazy import LazyModuleMixin

Place = Literal["first", "last"]

_KNOWN: Mapping[Place, Mapping[str, str]] = {
    "first": {
        "torch": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm GroupNorm "
        "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
        "torchvision": "FrozenBatchNorm2d LayerNorm2d",
        "timm": "BatchNormAct2d SyncBatchNormAct FrozenBatchNormAct2d GroupNorm GroupNorm1 GroupNormAct GroupNorm1Act "
        "LayerNorm2d LayerNorm2dFp32 LayerNormExp2d LayerNormAct2d LayerNormAct2dFp32 "
        "RmsNorm2d RmsNorm2dFp32 RmsNormAct2d RmsNormAct2dFp32 SimpleNorm2d SimpleNorm2dFp32",
    },
    "last": {
        "torch": "LayerNorm RMSNorm",
        "timm": "LayerNorm LayerNormFp32 LayerNormAct LayerNormActFp32 RmsNorm RmsNormFp32 RmsNormAct RmsNormActFp32 "
        "SimpleNorm SimpleNormFp32",
    },
}
"""Classes by the position of the channels in their input: right after the samples, or last. Subclasses are not
included: they may have another forward pass."""

_PLACES: Mapping[tuple[str, str], Place] = {
    (package, name): place
    for place, packages in _KNOWN.items()
    for package, names in packages.items()
    for name in names.split()
}

_BASES = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_CALLED_NORM = re.compile(r"norm(?!alize)", re.IGNORECASE)
"""`Normalize` is excluded: it shifts and scales images by constants."""


@dataclass(frozen=True, slots=True)
class FoundNorm:
    """A normalization layer, and what is needed to replace it.

    Attributes:
        layer: The layer.
        num_features: Channels C.
        place: Position of the channels in the input: (N, C, ...) or (N, ..., C).
        args: Its arguments under the names of `normbench.norms`.
        with_activation: Whether it includes dropout and activation (timm's `drop` and `act`).
    """

    layer: nn.Module
    num_features: int
    place: Place
    args: Mapping[str, Any]
    with_activation: bool

    @property
    def activates(self) -> bool:
        """Whether it includes an activation."""
        return self.with_activation and not isinstance(self.layer.act, nn.Identity)


def find_norm(module: nn.Module) -> FoundNorm | None:
    """Return the description of a normalization layer; None for other modules and for norms that cannot be replaced."""
    place = _PLACES.get((type(module).__module__.partition(".")[0], type(module).__name__))
    features = _num_features(module)
    if place is None or features is None:
        return None
    return FoundNorm(module, features, place, _arguments(module), hasattr(module, "act"))


def why_irreplaceable(module: nn.Module) -> str:
    """Return why a norm cannot be replaced; empty if it can, or if the module is not a norm."""
    kind = type(module).__name__
    if isinstance(module, LazyModuleMixin):
        return f"{kind}, size not known yet"
    for hook in module._forward_pre_hooks.values():
        if _CALLED_NORM.search(type(hook).__name__):
            return f"{kind} with {type(hook).__name__} on its weights"
    if find_norm(module) is not None:
        return ""
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) > 1:
        return f"{kind} over {tuple(module.normalized_shape)}, not over channels only"
    if isinstance(module, _BASES):
        return kind
    state = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    # A block such as ConvNormAct is named after the norm inside, which is checked separately.
    is_block = any(True for _ in module.children()) and not state
    return kind if _CALLED_NORM.search(kind) and not is_block else ""


def _num_features(module: nn.Module) -> int | None:
    for name in ("num_features", "num_channels"):
        if isinstance(number := getattr(module, name, None), int):
            return number
    shape = getattr(module, "normalized_shape", None)
    if shape is None:
        # torchvision's and timm's frozen batch norm.
        weight = getattr(module, "weight", None)
        return None if weight is None else len(weight)
    return int(shape[0]) if len(shape) == 1 else None


def _arguments(module: nn.Module) -> dict[str, Any]:
    names = ["eps"]
    names += ["momentum", "track_running_stats"] if isinstance(module, _BatchNorm) else []
    names += ["num_groups"] if isinstance(module, nn.GroupNorm) else []
    args = {name: getattr(module, name) for name in names}
    if not args["eps"]:
        # RMSNorm's None is the smallest number of the input's type.
        del args["eps"]
    if getattr(module, "weight", None) is None:
        args["affine"] = False
    return args
