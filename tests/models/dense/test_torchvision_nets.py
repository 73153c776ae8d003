"""Torchvision's networks for segmentation and detection: every norm is replaced, and they compute what they did."""

from collections import Counter

import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.detection._utils import BoxCoder

from normbench.errors import ConfigError
from normbench.models.dense.torchvision_nets import DETECTORS, SEGMENTERS, torchvision_detector, torchvision_segmenter
from normbench.models.found_norms import find_norm
from normbench.norms import BatchFrozen, BatchNorm, GroupNorm, NormFactory
from normbench.norms.factory import norm_layers
from normbench.norms.keep import Keep
from normbench.shapes import BoxShape, PixelShape
from normbench.tasks.boxes import decode

NETS = {
    **{name: (torchvision_segmenter, PixelShape(3, 64, 64)) for name in SEGMENTERS},
    **{name: (torchvision_detector, BoxShape(3, 64, 64, boxes=2)) for name in DETECTORS},
}
NORMS = {
    "deeplabv3_resnet50": {"BatchNorm2d": 60},
    "fcn_resnet50": {"BatchNorm2d": 54},
    "retinanet_resnet50_fpn": {"BatchNorm2d": 53},
    # Its head is shared by all levels.
    "retinanet_resnet50_fpn_v2": {"BatchNorm2d": 53, "GroupNorm": 8},
}


@pytest.mark.parametrize("norm", [GroupNorm, BatchFrozen, BatchNorm], ids=lambda norm: norm.__name__)
@pytest.mark.parametrize("name", NETS)
def test_every_norm_is_replaced(name: str, norm: type[nn.Module]) -> None:
    """Counted by class: as many as torchvision's own net has, which is what its constructors would leave."""
    build, shape = NETS[name]
    with torch.device("meta"):
        own = {} if name in DETECTORS else {"aux_loss": False}
        usual = get_model(name, weights=None, weights_backbone=None, num_classes=5, **own)
        model = build(shape, 5, NormFactory(norm), architecture=name)  # type: ignore[operator]  # either of two
    before = Counter(type(layer).__name__ for layer in usual.modules() if find_norm(layer))
    assert before == NORMS.get(name, before) and before
    assert Counter(type(layer) for layer in norm_layers(model).values()) == {norm: before.total()}
    assert not [layer for layer in model.modules() if find_norm(layer) and not isinstance(layer, norm)]


def test_a_segmenter_computes_what_torchvision_does() -> None:
    """With its norms kept, and for images of any channels."""
    torch.manual_seed(0)
    usual = get_model("fcn_resnet50", weights=None, weights_backbone=None, num_classes=5, aux_loss=False).eval()
    model = torchvision_segmenter(PixelShape(3, 32, 40), 5, NormFactory(Keep), architecture="fcn_resnet50").eval()
    model.load_state_dict(usual.state_dict())
    x = torch.randn(2, 3, 32, 40)
    with torch.no_grad():
        torch.testing.assert_close(model(x), usual(x)["out"])
        grey = torchvision_segmenter(PixelShape(1, 32, 32), 5, NormFactory(BatchNorm))
        assert grey(x[:, :1, :32, :32]).shape == (2, 5, 32, 32)


def test_a_detector_computes_what_torchvision_does() -> None:
    """Its head's outputs, and anchors of the size that the config names, in the order of the head's."""
    torch.manual_seed(0)
    usual = get_model("retinanet_resnet50_fpn", weights=None, weights_backbone=None, num_classes=5).eval()
    model = torchvision_detector(BoxShape(3, 64, 64, boxes=2), 5, NormFactory(Keep), anchor_size=16).eval()
    model.load_state_dict(usual.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        anchors, deltas, logits = torch.split(model(x), [4, 4, 5], dim=-1)
        wanted = usual.head(list(usual.backbone(x).values()))
    boxes = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0)).decode_single(wanted["bbox_regression"][0], anchors[0])
    torch.testing.assert_close(decode(anchors[0], deltas[0]), boxes)
    torch.testing.assert_close(logits, wanted["cls_logits"])
    sides = (anchors[0, :, 2:] - anchors[0, :, :2]).prod(-1).sqrt()
    assert sides[:9].tolist() == pytest.approx([16 * 2 ** (third / 3) for third in range(3)] * 3, rel=0.1)
    assert sides[-1] > 10 * sides[0]


def test_an_unknown_name_is_refused() -> None:
    """Of the detectors that assign boxes in their own way, too."""
    with pytest.raises(ConfigError, match=r"unknown value 'fcn_resnet5'; did you mean 'fcn_resnet50'"):
        torchvision_segmenter(PixelShape(3, 64, 64), 5, NormFactory(BatchNorm), architecture="fcn_resnet5")
    with pytest.raises(ConfigError, match=r"unknown value 'fasterrcnn_resnet50_fpn'"):
        torchvision_detector(
            BoxShape(3, 64, 64, boxes=2), 5, NormFactory(BatchNorm), architecture="fasterrcnn_resnet50_fpn"
        )
