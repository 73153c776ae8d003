"""The models by name."""

from collections.abc import Callable

from torch import nn

from normbench.models.mlp import mlp
from normbench.models.own import own
from normbench.models.plain import plain
from normbench.models.resnet import resnet
from normbench.models.timm_models import timm
from normbench.models.torchvision_models import torchvision
from normbench.models.torchvision_resnet import resnet18, resnet34, resnet50

REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "resnet": resnet,
    "plain": plain,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "torchvision": torchvision,
    "timm": timm,
    "own": own,
}
