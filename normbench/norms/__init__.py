"""Normalization layers under one signature: ``Norm(num_features, *, ...)`` maps (N, C, ...) to the same shape."""

from torch import nn

from normbench.norms.batch import BatchNorm
from normbench.norms.batch_arms import BatchMeanOnly, BatchVarOnly
from normbench.norms.batch_frozen import BatchFrozen
from normbench.norms.batch_noisy import BatchNoisy
from normbench.norms.batch_renorm import BatchRenorm
from normbench.norms.dyt import DynamicTanh
from normbench.norms.evonorm_b0 import EvoNormB0
from normbench.norms.evonorm_s0 import EvoNormS0
from normbench.norms.factory import NormFactory
from normbench.norms.frn import FilterResponseNorm
from normbench.norms.group import GroupNorm
from normbench.norms.instance import InstanceNorm
from normbench.norms.keep import Keep
from normbench.norms.layer import LayerNorm
from normbench.norms.layer_channels import ChannelLayerNorm
from normbench.norms.none import NoNorm
from normbench.norms.power import PowerNorm
from normbench.norms.rms import RMSNorm
from normbench.norms.scaled_weight import ScaledWeight
from normbench.norms.statistics import BatchStatistics
from normbench.norms.switchable import SwitchableNorm
from normbench.norms.weight_standardized_group import WeightStandardizedGroupNorm

REGISTRY: dict[str, type[nn.Module]] = {
    "batch": BatchNorm,
    "layer": LayerNorm,
    "group": GroupNorm,
    "instance": InstanceNorm,
    "none": NoNorm,
    "layer_channels": ChannelLayerNorm,
    "rms": RMSNorm,
    "batch_renorm": BatchRenorm,
    "batch_mean_only": BatchMeanOnly,
    "batch_var_only": BatchVarOnly,
    "batch_noisy": BatchNoisy,
    "batch_frozen": BatchFrozen,
    "power": PowerNorm,
    "frn": FilterResponseNorm,
    "evonorm_b0": EvoNormB0,
    "evonorm_s0": EvoNormS0,
    "switchable": SwitchableNorm,
    "weight_standardized_group": WeightStandardizedGroupNorm,
    "scaled_weight": ScaledWeight,
    "dyt": DynamicTanh,
}

CHOICES: dict[str, type[nn.Module]] = {**REGISTRY, "keep": Keep}
"""Values of `norm=`: the layers, and `keep`, which inserts none."""

__all__ = [
    "CHOICES",
    "REGISTRY",
    "BatchFrozen",
    "BatchMeanOnly",
    "BatchNoisy",
    "BatchNorm",
    "BatchRenorm",
    "BatchStatistics",
    "BatchVarOnly",
    "ChannelLayerNorm",
    "DynamicTanh",
    "EvoNormB0",
    "EvoNormS0",
    "FilterResponseNorm",
    "GroupNorm",
    "InstanceNorm",
    "Keep",
    "LayerNorm",
    "NoNorm",
    "NormFactory",
    "PowerNorm",
    "RMSNorm",
    "ScaledWeight",
    "SwitchableNorm",
    "WeightStandardizedGroupNorm",
]
