"""Normalization layers under one signature: ``Norm(num_features, *, ...)`` maps (N, C, ...) to the same shape."""

from torch import nn

from normbench.norms.batch import BatchNorm
from normbench.norms.factory import NormFactory
from normbench.norms.group import GroupNorm
from normbench.norms.instance import InstanceNorm
from normbench.norms.layer import LayerNorm
from normbench.norms.none import NoNorm
from normbench.norms.statistics import BatchStatistics

REGISTRY: dict[str, type[nn.Module]] = {
    "batch": BatchNorm,
    "layer": LayerNorm,
    "group": GroupNorm,
    "instance": InstanceNorm,
    "none": NoNorm,
}

__all__ = [
    "REGISTRY",
    "BatchNorm",
    "BatchStatistics",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "NoNorm",
    "NormFactory",
]
