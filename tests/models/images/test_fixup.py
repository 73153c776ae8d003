"""Tests of Fixup."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.models.images.fixup import FixupBlock
from normbench.models.images.resnet import resnet
from normbench.models.images.shortcut import shortcut
from normbench.models.images.staged import StagedNet
from normbench.models.initialization import initialize
from normbench.norms import NoNorm, NormFactory
from normbench.randomness import generator

IMAGE = (3, 8, 8)


def _net(depth: int = 20, init_scale: float = 1.0, init: str = "fixup") -> StagedNet:
    net = resnet(IMAGE, 10, NormFactory(NoNorm), depth=depth, init=init, init_scale=init_scale)
    initialize(net, lambda name: generator(0, name))
    return net


def _blocks(net: StagedNet) -> list[FixupBlock]:
    return [block for block in net.blocks if isinstance(block, FixupBlock)]


def test_branches_and_head_start_at_zero() -> None:
    """The last convolution of each branch and the head are zero, so the logits are."""
    net = _net()
    for block in _blocks(net):
        x = torch.randn(2, block.shape.in_channels, 8, 8)
        torch.testing.assert_close(block(x), torch.relu(shortcut(x, block.shape)))
    assert not net(torch.randn(2, *IMAGE)).any()


@pytest.mark.parametrize(("depth", "branches"), [(20, 9), (56, 27)])
def test_first_convolutions_shrink_with_the_number_of_branches(depth: int, branches: int) -> None:
    """L^(-1/(2m-2)) with m = 2 layers: He's weights over the root of L."""
    fixup, he = _net(depth), _net(depth, init="he")
    name = "blocks.0.first.layer.weight"
    torch.testing.assert_close(fixup.get_parameter(name), he.get_parameter(name) / branches**0.5)
    assert fixup.get_parameter("stem.0.layer.weight").any()


def test_refuses_a_bias_a_channel() -> None:
    """Its scalars stand in for biases, and start at zero."""
    with pytest.raises(ImpossibleRunError, match=r"bias_init=-1 has no effect with model\.init=fixup"):
        resnet(IMAGE, 10, NormFactory(NoNorm), init="fixup", bias_init=-1.0)


def test_counts_four_biases_and_a_scale_a_block() -> None:
    """Scalars: five a block, one after the stem, one before the head; no convolution has a bias."""
    net = _net(depth=8)
    scalars = [name for name, parameter in net.named_parameters() if parameter.ndim == 0]
    assert len(scalars) == 5 * 3 + 2
    assert not any(name.endswith("layer.bias") for name, _ in net.named_parameters())


def test_block_computes_its_formula() -> None:
    """Scalar biases before each convolution and activation, a scale after the last convolution."""
    block = _blocks(_net(depth=8))[1]
    with torch.no_grad():
        for index, parameter in enumerate(block.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)))
    x = torch.randn(2, 16, 8, 8)
    b1, b2, b3, b4 = (getattr(block, f"bias{index}").bias for index in range(1, 5))
    hidden = torch.relu(block.first.layer(x + b1) + b2)
    wanted = torch.relu(shortcut(x, block.shape) + block.scale * block.second.layer(hidden + b3) + b4)
    torch.testing.assert_close(block(x), wanted)


def test_everything_learns_within_two_steps() -> None:
    """The zero head passes no gradient at first; after two steps of SGD the last convolutions have moved."""
    net = _net(depth=8)
    x, labels = torch.randn(8, *IMAGE), torch.arange(8)
    for _ in range(2):
        net.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(net(x), labels))
        with torch.no_grad():
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=0.1)
    assert all(block.second.layer.weight.any() for block in _blocks(net))
