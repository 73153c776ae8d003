"""Tests of timm's models by name."""

import sys

import pytest
import torch

from normbench.errors import ConfigError
from normbench.models.images.timm_models import timm
from normbench.norms import BatchNorm, ChannelLayerNorm, NormFactory


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("architecture", "norm"), [("test_resnet.r160_in1k", BatchNorm), ("test_vit", ChannelLayerNorm)], ids=["cnn", "vit"]
)
def test_a_model_is_built_for_the_images(architecture: str, norm: type[torch.nn.Module], channels: int) -> None:
    """Channels, size and classes are those of the data."""
    model = timm((channels, 32, 32), 7, NormFactory(norm), architecture=architecture)
    assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 7)
    assert any(isinstance(module, norm) for module in model.modules())


@pytest.mark.parametrize("name", ["test_resnot", "hf-hub:somebody/something"])
def test_an_unknown_name_is_refused(name: str) -> None:
    """The nearest is named, or the command that lists all; nothing is fetched."""
    with pytest.raises(ConfigError, match=r"timm has no model .*(did you mean 'test_resnet'|see `python -c)"):
        timm((3, 32, 32), 7, NormFactory(BatchNorm), architecture=name)


def test_without_timm_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'normbench\[timm\]'"):
        timm((3, 32, 32), 7, NormFactory(BatchNorm))
