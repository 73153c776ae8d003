"""Layers with standardised weights against direct computations, and as parts of models."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.models.dials import Dials
from normbench.models.layers import NormedLayer
from normbench.norms import REGISTRY, NormFactory
from normbench.norms.standardized_weights import with_standardized_weights

LAYERS: Mapping[str, Callable[..., nn.Module]] = {
    "linear": partial(nn.Linear, 6, 8),
    "conv": partial(nn.Conv2d, 3, 8, kernel_size=3, stride=2, padding=1),
    "grouped": partial(nn.Conv2d, 4, 8, kernel_size=(3, 1), groups=2, padding="same", padding_mode="circular"),
}
INPUTS = {"linear": (5, 6), "conv": (5, 3, 7, 7), "grouped": (5, 4, 7, 7)}


def _input(name: str) -> Tensor:
    return torch.randn(INPUTS[name], dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "bare"])
@pytest.mark.parametrize("by_fan_in", [True, False], ids=["scaled", "plain"])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_the_layer_with_its_weight_standardised_by_hand(name: str, by_fan_in: bool, bias: bool) -> None:
    """Each unit's weights have mean 0 and variance 1, or 1 / fan-in; the rest of the layer is as it was."""
    layer = LAYERS[name](bias=bias).double()
    ours, x = with_standardized_weights(layer, by_fan_in=by_fan_in), _input(name)
    y = ours(x)
    assert list(ours.state_dict()) == list(layer.state_dict())
    assert ours.weight is layer.weight and ours.bias is layer.bias
    with torch.no_grad():
        for unit in layer.get_parameter("weight"):
            unit -= unit.mean()
            unit /= (unit.square().mean() + 1e-6).sqrt()
            unit /= unit.numel() ** 0.5 if by_fan_in else 1
    torch.testing.assert_close(y, layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_matches_finite_differences(name: str) -> None:
    """The gradient passes through the standardisation."""
    ours, x = with_standardized_weights(LAYERS[name](bias=True).double(), by_fan_in=False), _input(name)

    def output(weight: Tensor) -> Tensor:
        result = torch.func.functional_call(ours, {"weight": weight}, (x,))
        assert isinstance(result, Tensor)
        return result

    weight = ours.get_parameter("weight").detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(output, weight)


@pytest.mark.parametrize("name", ["weight_standardized_group", "scaled_weight"])
def test_a_model_standardises_the_weights_before_the_norm(name: str) -> None:
    """The layer's parameters bear the names that they have with any norm, and their size has no effect."""
    torch.manual_seed(0)
    made = NormedLayer(LAYERS["conv"], 8, NormFactory(REGISTRY[name]), Dials())
    group = NormedLayer(LAYERS["conv"], 8, NormFactory(REGISTRY["group"]), Dials())
    assert {key for key, _ in made.layer.named_parameters()} == {key for key, _ in group.layer.named_parameters()}
    made = made.double()
    x = _input("conv")
    before = made(x)
    with torch.no_grad():
        made.get_parameter("layer.weight").mul_(100)
    torch.testing.assert_close(made(x), before, rtol=1e-4, atol=1e-4)


def test_scaled_weights_keep_the_variance_through_layers_of_relu() -> None:
    """The signal that enters the tenth layer has the variance of the first."""
    torch.manual_seed(0)
    width = 256
    norm = NormFactory(REGISTRY["scaled_weight"])
    layers = [NormedLayer(partial(nn.Linear, width, width), width, norm, Dials()) for _ in range(10)]
    x = torch.randn(200, width)
    with torch.no_grad():
        y = nn.Sequential(*layers)(F.relu(x))
    assert y.var().item() / F.relu(x).var().item() == pytest.approx(1, abs=0.3)
