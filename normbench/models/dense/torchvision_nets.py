"""Torchvision's networks for segmentation and detection by name, with their norms replaced by the run's.

Most of their constructors take ``norm_layer=`` and ignore it, so that a net would silently keep its batch norm.
"""

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError, nearest
from normbench.models.images.torchvision_models import take_channels
from normbench.models.replacement import replace_norms
from normbench.norms.factory import NormFactory
from normbench.shapes import BOX_SCALES, BoxShape, PixelShape

SEGMENTERS = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
)
DETECTORS = ("retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2")
"""Torchvision's other detectors assign boxes in their own way, inside the net; their loss is not that of the task."""

_LEVELS = 5


@final
class Segmenter(nn.Module):
    """A backbone and its classifier of places, enlarged to the image.

    Args:
        net: Torchvision's network, without its auxiliary classifier.

    Shape:
        (N, C, H, W) to logits (N, K, H, W).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        # Under their own names, so that a checkpoint of the original fits.
        self.backbone = net.get_submodule("backbone")
        self.classifier = net.get_submodule("classifier")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of x, (N, C, H, W)."""
        scores = self.classifier(self.backbone(x)["out"])
        return F.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)


@final
class Detector(nn.Module):
    """A feature pyramid with RetinaNet's head, without torchvision's resizing, loss and suppression.

    Args:
        net: Torchvision's network.
        anchor_generator: Makes the anchors of each level.

    Shape:
        (N, C, H, W) to (N, A, 4 + 4 + K): anchors, deltas and logits.
    """

    per_class = ("head.classification_head.cls_logits",)

    def __init__(self, net: nn.Module, anchor_generator: nn.Module) -> None:
        super().__init__()
        self.backbone = net.get_submodule("backbone")
        self.head = net.get_submodule("head")
        self.anchor_generator = anchor_generator

    def forward(self, x: Tensor) -> Tensor:
        """Return anchors, deltas and logits for x, (N, C, H, W)."""
        from torchvision.models.detection.image_list import ImageList

        features = list(self.backbone(x).values())
        found = self.head(features)
        # In the type of the images: rounded to eight bits, anchors would be off by pixels.
        levels = [x.new_empty(1, 1, *level.shape[-2:]) for level in features]
        (anchors,) = self.anchor_generator(ImageList(x, [(x.shape[-2], x.shape[-1])]), levels)
        # Torchvision's deltas are in units of anchors, and the task's in parts of them.
        centre, size = BOX_SCALES
        deltas = found["bbox_regression"] / x.new_tensor([centre, centre, size, size])
        return torch.cat((anchors.expand(len(x), -1, -1), deltas, found["cls_logits"]), dim=-1)


def torchvision_segmenter(
    input_shape: PixelShape, num_outputs: int, norm: NormFactory, *, architecture: str = "deeplabv3_resnet50"
) -> nn.Module:
    """Return a segmentation network of torchvision with the norm of the run and torchvision's initialisation.

    Nothing is downloaded; `model.weights` loads a file. It has no auxiliary classifier.

    Args:
        input_shape: The images.
        num_outputs: Classes K.
        norm: Makes the layers; see `replace_norms`.
        architecture: One of `SEGMENTERS`.

    Raises:
        ConfigError: If the name is none of them.
        ImpossibleRunError: If the norms cannot be replaced.
    """
    net = _net(architecture, SEGMENTERS, num_outputs, aux_loss=False)
    return _finished(Segmenter(net), input_shape.channels, norm, architecture)


def torchvision_detector(
    input_shape: BoxShape,
    num_outputs: int,
    norm: NormFactory,
    *,
    architecture: str = "retinanet_resnet50_fpn",
    anchor_size: float = 32.0,
) -> nn.Module:
    """Return a detector of torchvision with the norm of the run and torchvision's initialisation.

    Images are used in the size that the data have. Nothing is downloaded; `model.weights` loads a file.

    Args:
        input_shape: The images.
        num_outputs: Classes K.
        norm: Makes the layers; see `replace_norms`.
        architecture: One of `DETECTORS`.
        anchor_size: Side of the smallest anchors, those of the finest level, in pixels.

    Raises:
        ConfigError: If the name is none of them.
        ImpossibleRunError: If the norms cannot be replaced.
    """
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    net = _net(architecture, DETECTORS, num_outputs)
    sizes = tuple(tuple(anchor_size * 2 ** (level + third / 3) for third in range(3)) for level in range(_LEVELS))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * _LEVELS)
    return _finished(Detector(net, anchors), input_shape.channels, norm, architecture)


def _net(architecture: str, known: tuple[str, ...], num_outputs: int, **args: Any) -> nn.Module:
    if architecture not in known:
        raise ConfigError(f"model.architecture: unknown value {architecture!r}{nearest(architecture, known)}")
    # Torchvision takes seconds to import; most runs do without.
    from torchvision.models import get_model

    net: nn.Module = get_model(architecture, weights=None, weights_backbone=None, num_classes=num_outputs, **args)
    return net


def _finished(model: nn.Module, channels: int, norm: NormFactory, architecture: str) -> nn.Module:
    if channels != 3:
        take_channels(model, channels)
    return replace_norms(model, norm, name=f"torchvision {architecture}")
