"""Tests of the network without shortcuts."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.models.images.plain import plain
from normbench.models.images.resnet import resnet
from normbench.models.initialization import initialize
from normbench.norms import BatchNorm, NoNorm, NormFactory
from normbench.randomness import generator

IMAGE = (3, 8, 8)


def test_is_the_residual_network_without_shortcuts() -> None:
    """The same parameters under the same names, and one seed gives the same weights."""
    nets = [build(IMAGE, 10, NormFactory(BatchNorm), depth=14) for build in (plain, resnet)]
    for net in nets:
        initialize(net, lambda name: generator(0, name))
    ours, residual = (dict(net.named_parameters()) for net in nets)
    assert ours.keys() == residual.keys()
    assert all(torch.equal(value, residual[name]) for name, value in ours.items())


def test_dead_convolutions_leave_nothing() -> None:
    """With no shortcut a block of zero weights passes nothing on: only the head's bias is left."""
    net = plain(IMAGE, 10, NormFactory(NoNorm), depth=8)
    initialize(net, lambda name: generator(0, name))
    with torch.no_grad():
        net.get_parameter("blocks.1.second.layer.weight").zero_()
    torch.testing.assert_close(net(torch.randn(2, *IMAGE)), torch.zeros(2, 10))


@pytest.mark.parametrize("init", ["skipinit", "fixup"])
def test_refuses_initialisations_of_residual_branches(init: str) -> None:
    """There is no branch to start at zero."""
    with pytest.raises(ImpossibleRunError, match=rf"init={init} .* model=plain"):
        plain(IMAGE, 10, NormFactory(NoNorm), init=init)
