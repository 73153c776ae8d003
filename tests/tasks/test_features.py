"""The frozen network for style transfer, against the networks whose weights it reads."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

from normbench.errors import ConfigError
from normbench.models.images.vgg import vgg
from normbench.norms import REGISTRY as NORMS
from normbench.norms import NormFactory
from normbench.tasks.features import FeatureNet, feature_net


def pictures() -> Tensor:
    return torch.randn(2, 3, 36, 32, generator=torch.Generator().manual_seed(0))


def kept(net: nn.Module | Mapping[str, object], folder: Path) -> str:
    file = folder / "net.pt"
    torch.save(net.state_dict() if isinstance(net, nn.Module) else net, file)
    return str(file)


@torch.no_grad()
def before_pooling(layers: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the inputs of all max-poolings."""
    found: list[Tensor] = []
    for module in layers.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _module, inputs, _output: found.append(inputs[0]))
    layers(x)
    return found


@torch.no_grad()
def seasoned(net: nn.Module) -> nn.Module:
    """Return a network whose norms have seen data and have scales and shifts."""
    stream = torch.Generator().manual_seed(1)
    for value in net.parameters():
        if value.ndim == 1:
            value.normal_(1, 0.3, generator=stream)
    for _ in range(3):
        net(torch.randn(8, 3, 36, 32, generator=stream))
    return net.eval()


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_maps_are_those_of_normbenchs_own(norm: str, tmp_path: Path) -> None:
    """Kept weights of model=vgg, with the batch norm by its running statistics."""
    model = seasoned(vgg((3, 36, 32), 4, NormFactory(NORMS[norm]), width=4))
    net = feature_net(kept(model, tmp_path), 3)
    assert not net.torchvision and [len(stage) for stage in net.stages] == [2, 2, 2]
    torch.testing.assert_close(net.maps(pictures()), before_pooling(model, pictures()))


@pytest.mark.parametrize("normed", [False, True], ids=["vgg", "vgg_bn"])
def test_maps_are_those_of_torchvisions(normed: bool, tmp_path: Path) -> None:
    """Its stages are found from the gaps in the numbers of its layers."""
    layers = seasoned(make_layers([4, "M", 8, 8, "M", 4, 8, 4, "M"], batch_norm=normed))
    whole = nn.ModuleDict({"features": layers, "classifier": nn.Linear(4, 2)})
    net = feature_net(kept(whole, tmp_path), 3)
    assert net.torchvision and [len(stage) for stage in net.stages] == [1, 2, 3]
    torch.testing.assert_close(net.maps(pictures()), before_pooling(layers, pictures()))
    assert len(feature_net(kept(whole, tmp_path), 2).stages) == 2


def test_pixels_are_standardised_as_in_the_training_of_the_network(tmp_path: Path) -> None:
    """By the data set for normbench's own, by ImageNet's moments for torchvision's."""
    pixels, mean, std = torch.full((3, 2, 2), 102.0), torch.tensor([2.0, 2, 2]), torch.tensor([4.0, 5, 10])
    own = feature_net(None, 3)
    assert own.standardised(pixels, mean, std)[:, 0, 0].tolist() == [25, 20, 10]
    net = feature_net(
        kept({f"features.{key}": value for key, value in make_layers([4, "M"]).state_dict().items()}, tmp_path), 1
    )
    wanted = (torch.tensor([0.4, 0.4, 0.4]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(net.standardised(pixels, mean, std)[:, 0, 0], wanted)


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_the_field_is_what_a_value_sees(stages: int) -> None:
    """The pixels whose gradient from one value in the middle of the last map is not zero."""
    net: FeatureNet = feature_net(None, stages)
    x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    last = net.maps(x)[-1]
    middle = last.shape[-1] // 2
    # All ways through a maximum or a ReLU count only over many pictures, so the widest of all channels is taken.
    (grad,) = torch.autograd.grad(last[0, :, middle, middle].sum(), x)
    touched = grad[0].abs().amax(0).amax(0).nonzero()
    assert net.field - 2 <= int(touched.max() - touched.min()) + 1 <= net.field


OTHERS: Mapping[str, tuple[Mapping[str, Tensor], str]] = {
    "a resnet": ({"layer1.0.conv1.weight": torch.zeros(4, 3, 3, 3)}, r"another network \(layer1.0.conv1.weight\)"),
    "an alexnet": ({"features.0.weight": torch.zeros(4, 3, 11, 11)}, r"features.0.weight \(4, 3, 11, 11\)"),
    "a mobilenet": ({"features.0.0.weight": torch.zeros(4, 3, 3, 3)}, r"\(features.0.0.weight\)"),
    "a head alone": ({"head.weight": torch.zeros(4, 3)}, r"\(no convolution\)"),
    "gaps": ({f"features.{place}.weight": torch.zeros(3, 3, 3, 3) for place in (0, 5)}, r"\(features.5\)"),
    "other channels": (
        {f"features.{place}.weight": torch.zeros(4, 3, 3, 3) for place in (0, 2)},
        r"\(3 channels after 4\)",
    ),
    "group norm": (
        vgg((3, 8, 8), 4, NormFactory(NORMS["group"]), width=4).state_dict(),
        r"\(blocks.0.0.norm with bias, weight\)",
    ),
}


@pytest.mark.parametrize(("state", "message"), OTHERS.values(), ids=OTHERS)
def test_another_network_is_refused(state: Mapping[str, Tensor], message: str, tmp_path: Path) -> None:
    """Its first entry that does not fit is named."""
    with pytest.raises(ConfigError, match=message):
        feature_net(kept(state, tmp_path), 1)


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    """One that is missing, one of another kind, one with something else, and one with too few stages."""
    with pytest.raises(ConfigError, match=r"task.features=nowhere.pt: No such file or directory\."):
        feature_net("nowhere.pt", 1)
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(ConfigError, match=r"text.pt cannot be read \(UnpicklingError\): expected a state dict"):
        feature_net(str(tmp_path / "text.pt"), 1)
    with pytest.raises(ConfigError, match="has no state dict"):
        feature_net(kept({"epoch": 3}, tmp_path), 1)
    with pytest.raises(ConfigError, match=r"task.stages: got 4, but the random network has 3"):
        feature_net(None, 4)
