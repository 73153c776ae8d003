"""Tests of the residual network for small images."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.images.resnet import ResidualBlock, resnet
from normbench.models.images.shortcut import shortcut
from normbench.models.images.staged import StagedNet
from normbench.models.initialization import initialize
from normbench.norms import BatchNorm, InstanceNorm, LayerNorm, NoNorm, NormFactory
from normbench.randomness import generator

IMAGE = (3, 8, 8)


def _initialized(net: StagedNet) -> StagedNet:
    initialize(net, lambda name: generator(0, name))
    return net


def _blocks(net: StagedNet) -> list[ResidualBlock]:
    return [block for block in net.blocks if isinstance(block, ResidualBlock)]


@pytest.mark.parametrize(
    ("depth", "count"),
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_parameter_count_is_the_published_one(depth: int, count: int) -> None:
    """He et al. (2016), table 6: 0.27M, 0.46M, 0.66M, 0.85M and 1.7M, exactly as option A gives them."""
    with torch.device("meta"):
        net = resnet((3, 32, 32), 10, NormFactory(BatchNorm), depth=depth)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    weights = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules())
    assert weights == depth


@pytest.mark.parametrize("placement", ["before", "after"])
def test_block_computes_its_formula(placement: str) -> None:
    """The join follows the placement: an activation on the sum, or none, each norm staying in the branch."""
    net = _initialized(resnet(IMAGE, 10, NormFactory(BatchNorm), depth=8, norm_placement=placement, activation="tanh"))
    block = _blocks(net)[1]
    x = torch.randn(2, 16, 8, 8)
    conv1, norm1, conv2, norm2 = block.first.layer, block.first.norm, block.second.layer, block.second.norm
    skip = shortcut(x, block.shape)
    if placement == "before":
        wanted = torch.tanh(skip + norm2(conv2(torch.tanh(norm1(conv1(x))))))
    else:
        wanted = skip + norm2(torch.tanh(conv2(norm1(torch.tanh(conv1(x))))))
    torch.testing.assert_close(block(x), wanted)


def _join_of_nothing(x: Tensor, placement: str) -> Tensor:
    return torch.relu(x) if placement == "before" else x


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize(
    ("norm", "settings"),
    [
        (BatchNorm, {"init": "skipinit"}),
        (NoNorm, {"init": "skipinit"}),
        (BatchNorm, {"zero_init_residual": True}),
    ],
    ids=["skipinit-batch", "skipinit-none", "zero-gamma"],
)
def test_branches_start_at_zero(norm: type[nn.Module], settings: dict[str, Any], placement: str) -> None:
    """Every block passes on its shortcut alone."""
    net = _initialized(resnet(IMAGE, 10, NormFactory(norm), depth=14, norm_placement=placement, **settings))
    x = torch.randn(2, *IMAGE)
    for block in _blocks(net):
        entering = torch.randn(2, block.shape.in_channels, 8, 8)
        torch.testing.assert_close(block(entering), _join_of_nothing(shortcut(entering, block.shape), placement))
    # Of a plain sum a norm that ends the branch leaves no gradient.
    torch.autograd.backward(net(x).square().sum())
    scales = [block.scale if block.scale is not None else block.second.norm.weight for block in _blocks(net)]
    assert all(isinstance(scale, nn.Parameter) and scale.grad is not None and scale.grad.any() for scale in scales)


@pytest.mark.parametrize("init", ["skipinit", "fixup"])
def test_output_at_initialisation_does_not_depend_on_depth(init: str) -> None:
    """Two and six blocks a stage give the same last maps without norms; he's do not."""
    images = torch.randn(2, *IMAGE)

    def features(depth: int, init: str) -> Tensor:
        net = _initialized(resnet(IMAGE, 10, NormFactory(NoNorm), depth=depth, init=init))
        x: Tensor = net.stem(images)
        for block in net.blocks:
            x = block(x)
        return x.detach()

    torch.testing.assert_close(features(14, init), features(38, init))
    assert features(14, init).any()
    assert not torch.allclose(features(14, "he"), features(38, "he"))


def test_skipinit_draws_the_weights_of_he() -> None:
    """SkipInit adds one scalar a block, and one seed gives both the same convolutions."""
    nets = [_initialized(resnet(IMAGE, 10, NormFactory(NoNorm), depth=8, init=init)) for init in ("skipinit", "he")]
    ours, he = (dict(net.named_parameters()) for net in nets)
    assert ours.keys() - he.keys() == {f"blocks.{index}.scale" for index in range(3)}
    assert all(torch.equal(ours[name], he[name]) for name in he)


@pytest.mark.parametrize(
    ("norm", "settings", "message"),
    [
        (NoNorm, {"zero_init_residual": True}, "NoNorm"),
        (NormFactory(LayerNorm, {"affine": False}), {"zero_init_residual": True}, "affine=False"),
        (BatchNorm, {"zero_init_residual": True, "init": "skipinit"}, "would stay there"),
        (NoNorm, {"zero_init_residual": True, "init": "fixup"}, "zero_init_residual=true"),
        (BatchNorm, {"init": "fixup"}, "norm=none"),
        (NoNorm, {"init": "fixup", "norm_placement": "after"}, "norm_placement=before"),
    ],
    ids=["no-gamma", "no-affine", "skipinit-and-gamma", "fixup-and-gamma", "fixup-and-norm", "fixup-after"],
)
def test_settings_that_exclude_each_other(norm: object, settings: dict[str, Any], message: str) -> None:
    """The error says which settings clash."""
    factory = norm if isinstance(norm, NormFactory) else NormFactory(norm)  # type: ignore[arg-type]  # a class here
    with pytest.raises(ImpossibleRunError, match=message):
        resnet(IMAGE, 10, factory, depth=8, **settings)


def test_refuses_depths_that_do_not_exist() -> None:
    """Depth 18 is torchvision's."""
    with pytest.raises(ConfigError, match=r"model.depth: got 18"):
        resnet(IMAGE, 10, NormFactory(BatchNorm), depth=18)


def test_refuses_tiny_images() -> None:
    """2x2 pixels cannot be halved twice."""
    with pytest.raises(ImpossibleRunError, match="2x2"):
        resnet((1, 2, 2), 10, NormFactory(BatchNorm))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_instance_norm_needs_maps_to_the_end(device: str) -> None:
    """4x4 images end as 1x1 maps, where a dry run finds instance norm impossible."""
    with torch.device(device):
        net = resnet((3, 4, 4), 10, NormFactory(InstanceNorm), depth=8)
    with pytest.raises(ImpossibleRunError, match="maps of 1x1"):
        net(torch.zeros(2, 3, 4, 4, device=device))
