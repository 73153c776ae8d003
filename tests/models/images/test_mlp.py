"""Tests of the multilayer perceptron."""

import pytest
import torch
from torch import nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.dropout import Dropout, draw_masks
from normbench.models.images.mlp import mlp
from normbench.norms import REGISTRY, BatchNorm, InstanceNorm, NoNorm, NormFactory

DIGITS = (1, 8, 8)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "placement", "count"),
    [
        ("none", "before", 64 * 128 + 2 * 128 * 128 + 3 * 128 + 128 * 10 + 10),
        ("batch", "before", 64 * 128 + 2 * 128 * 128 + 6 * 128 + 128 * 10 + 10),
        ("batch", "after", 64 * 128 + 2 * 128 * 128 + 9 * 128 + 128 * 10 + 10),
        ("layer", "before", 64 * 128 + 2 * 128 * 128 + 9 * 128 + 128 * 10 + 10),
    ],
    ids=["none", "batch-drops-bias", "batch-after-keeps-bias", "layer-keeps-bias"],
)
def test_parameter_count(name: str, placement: str, count: int) -> None:
    """Weights, the biases that are left, gamma and beta, and the head."""
    assert _count(mlp(DIGITS, 10, NormFactory(REGISTRY[name]), norm_placement=placement)) == count


def test_computes_layer_after_layer() -> None:
    """The forward pass equals one written out by hand."""
    model = mlp((1, 2, 3), 4, NormFactory(NoNorm), width=5, depth=2, activation="tanh")
    x = torch.randn(7, 1, 2, 3)
    hidden = x.reshape(7, 6)
    for layer in model.layers:
        hidden = torch.tanh(layer.get_submodule("layer")(hidden))
    torch.testing.assert_close(model(x), model.head(hidden))


def test_dropout_follows_every_hidden_layer() -> None:
    """Masks of zero on the last hidden layer leave the head's bias."""
    model = mlp(DIGITS, 10, NormFactory(BatchNorm), width=5, depth=3, dropout=0.5)
    assert sum(isinstance(module, Dropout) for module in model.modules()) == 3
    draw_masks(model, 4, torch.Generator().manual_seed(0))
    model.get_buffer("dropouts.2.mask").zero_()
    torch.testing.assert_close(model(torch.randn(4, *DIGITS)), model.head.bias.expand(4, 10))


@pytest.mark.parametrize(("width", "depth"), [(0, 3), (8, 0)], ids=["width", "depth"])
def test_refuses_an_empty_net(width: int, depth: int) -> None:
    """Width and depth are at least one."""
    with pytest.raises(ConfigError, match=f"width={width} and depth={depth}"):
        mlp(DIGITS, 10, NormFactory(NoNorm), width=width, depth=depth)


@pytest.mark.parametrize("init", ["skipinit", "fixup"])
def test_refuses_initialisations_of_residual_branches(init: str) -> None:
    """There is no branch to start at zero."""
    with pytest.raises(ImpossibleRunError, match=f"init={init}"):
        mlp(DIGITS, 10, NormFactory(NoNorm), init=init)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_instance_norm_is_impossible(device: str) -> None:
    """A dry run on the meta device finds what a forward on data would."""
    with torch.device(device):
        model = mlp(DIGITS, 10, NormFactory(InstanceNorm))
    with pytest.raises(ImpossibleRunError, match="needs several positions to average over"):
        model(torch.zeros(2, *DIGITS, device=device))


def test_batch_norm_of_one_sample_is_impossible() -> None:
    """Batch size 1 raises."""
    with pytest.raises(ImpossibleRunError, match="only one value per channel"):
        mlp(DIGITS, 10, NormFactory(BatchNorm))(torch.zeros(1, *DIGITS))
