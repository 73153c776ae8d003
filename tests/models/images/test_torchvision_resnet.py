"""Tests of torchvision's networks with a norm of choice."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.images.torchvision_resnet import resnet18, resnet34, resnet50
from normbench.models.initialization import initialize
from normbench.norms import REGISTRY, BatchNorm, GroupNorm, InstanceNorm, NoNorm, NormFactory
from normbench.randomness import generator


@pytest.mark.parametrize(
    ("build", "count"), [(resnet18, 11_689_512), (resnet34, 21_797_672), (resnet50, 25_557_032)], ids=["18", "34", "50"]
)
def test_parameter_count_is_torchvisions(build: type[nn.Module], count: int) -> None:
    """With batch norm and 1,000 classes the count is the published one."""
    with torch.device("meta"):
        model = build((3, 224, 224), 1000, NormFactory(BatchNorm))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_uses_the_norm_everywhere() -> None:
    """Every norm of the network comes from the factory."""
    with torch.device("meta"):
        model = resnet18((3, 32, 32), 10, NormFactory(GroupNorm, {"num_groups": 4}))
    assert sum(isinstance(module, GroupNorm) and module.num_groups == 4 for module in model.modules()) == 20
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_takes_images_of_any_channels() -> None:
    """A grey image goes through a first convolution of one channel."""
    with torch.device("meta"):
        model = resnet18((1, 32, 32), 10, NormFactory(BatchNorm))
        assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("build", "last"), [(resnet18, "bn2"), (resnet50, "bn3")], ids=["basic", "bottleneck"])
def test_zero_init_residual_zeroes_the_last_gamma_of_each_branch(build: type[nn.Module], last: str) -> None:
    """Only the last norm of a branch starts at zero."""
    model = build((3, 32, 32), 10, NormFactory(BatchNorm), zero_init_residual=True)
    initialize(model, lambda name: generator(0, name))
    gammas = {name: module.weight for name, module in model.named_modules() if isinstance(module, BatchNorm)}
    for name, gamma in gammas.items():
        assert gamma is not None
        assert bool(gamma.any()) is not name.endswith(last)


def test_zero_init_residual_needs_a_gamma() -> None:
    """Without norms there is none."""
    with torch.device("meta"), pytest.raises(ImpossibleRunError, match="zero_init_residual=true"):
        resnet18((3, 32, 32), 10, NormFactory(NoNorm), zero_init_residual=True)


def test_initial_weights_have_the_scale_asked_for() -> None:
    """He with fan_in, times init_scale."""
    model = resnet18((3, 32, 32), 10, NormFactory(BatchNorm), init_scale=0.5)
    initialize(model, lambda name: generator(0, name))
    weight = model.get_parameter("layer1.0.conv1.weight")
    assert weight.std().item() == pytest.approx(0.5 * (2 / (64 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("init", ["skipinit", "fixup"])
def test_refuses_initialisations_of_its_own_residual_network(init: str) -> None:
    """SkipInit and Fixup need branches that torchvision does not offer."""
    with pytest.raises(ImpossibleRunError, match=rf"init={init} .* model=resnet18"):
        resnet18((3, 32, 32), 10, NormFactory(NoNorm), init=init)


def test_refuses_unknown_initialisations() -> None:
    """The error lists what exists."""
    with pytest.raises(ConfigError, match="Known: fixup, he, skipinit, xavier"):
        resnet18((3, 32, 32), 10, NormFactory(NoNorm), init="normal")


def test_instance_norm_needs_maps_to_the_end() -> None:
    """32x32 images end as 1x1 maps in ResNet-18."""
    with torch.device("meta"):
        model = resnet18((3, 32, 32), 10, NormFactory(InstanceNorm))
        with pytest.raises(ImpossibleRunError, match="maps of 1x1"):
            model(torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize("name", ["frn", "evonorm_b0", "evonorm_s0", "weight_standardized_group", "scaled_weight"])
def test_refuses_norms_that_need_layers_of_their_own(name: str) -> None:
    """Torchvision's blocks have their own activations and convolutions."""
    with pytest.raises(ImpossibleRunError, match="model=resnet18 builds its own"):
        resnet18((3, 32, 32), 10, NormFactory(REGISTRY[name]))


def test_torchvision_is_imported_only_when_used() -> None:
    """Listing the models leaves torchvision out; it takes seconds to import."""
    code = "import sys, normbench.models; normbench.models.REGISTRY; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
