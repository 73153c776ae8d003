"""The models by name."""

from collections.abc import Callable

from torch import nn

from normbench.models.images.mlp import mlp
from normbench.models.images.plain import plain
from normbench.models.images.resnet import resnet
from normbench.models.images.timm_models import timm
from normbench.models.images.torchvision_models import torchvision
from normbench.models.images.torchvision_resnet import resnet18, resnet34, resnet50
from normbench.models.own import own

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
