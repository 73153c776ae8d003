"""Tests of torchvision's classification models by name."""

import pytest
import torch

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.images.torchvision_models import torchvision
from normbench.norms import BatchNorm, ChannelLayerNorm, GroupNorm, NormFactory


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_takes_images_of_any_channels(channels: int) -> None:
    """The first convolution is the only layer that changes."""
    model = torchvision((channels, 32, 32), 7, NormFactory(GroupNorm))
    usual = torchvision((3, 32, 32), 7, NormFactory(GroupNorm)).state_dict()
    assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 7)
    changed = {name for name, value in model.state_dict().items() if value.shape != usual[name].shape}
    assert changed == ({"features.0.0.weight"} if channels == 1 else set())


def test_a_vision_transformer_is_built_for_the_size() -> None:
    """It has an embedding for each position."""
    with torch.device("meta"):
        model = torchvision((3, 64, 64), 7, NormFactory(ChannelLayerNorm), architecture="vit_b_32")
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    with pytest.raises(ImpossibleRunError, match="needs square images, got 64x32"):
        torchvision((3, 64, 32), 7, NormFactory(ChannelLayerNorm), architecture="vit_b_32")


def test_a_second_classifier_is_left_out() -> None:
    """In training GoogLeNet would return three logits else."""
    with torch.device("meta"):
        model = torchvision((3, 64, 64), 7, NormFactory(BatchNorm), architecture="googlenet")
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_a_model_without_norms_is_refused() -> None:
    """AlexNet has none to replace."""
    with torch.device("meta"), pytest.raises(ImpossibleRunError, match="alexnet has no normalization layer"):
        torchvision((3, 64, 64), 7, NormFactory(BatchNorm), architecture="alexnet")


def test_an_unknown_name_is_refused() -> None:
    """The nearest is named; segmentation and detection models are none of these."""
    with pytest.raises(ConfigError, match=r"no model 'mobilenet_v3_smal'; did you mean 'mobilenet_v3_small'\?"):
        torchvision((3, 32, 32), 7, NormFactory(BatchNorm), architecture="mobilenet_v3_smal")
