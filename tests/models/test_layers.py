"""Tests of the layer with its norm and activation."""

from functools import partial

import pytest
import torch
from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.layers import NormedLayer
from normbench.norms import REGISTRY, NormFactory


def _layer(name: str, placement: str, *, activated: bool = True) -> NormedLayer:
    norm, dials = NormFactory(REGISTRY[name]), Dials(norm_placement=placement, activation="tanh")
    return NormedLayer(partial(nn.Conv2d, 2, 4, 3), 4, norm, dials, activated=activated)


ACTIVATING = [name for name, norm in REGISTRY.items() if NormFactory(norm).includes_activation]
REMOVING = [name for name, norm in REGISTRY.items() if NormFactory(norm).removes_channel_mean]


@pytest.mark.parametrize("name", [name for name in REGISTRY if name not in ACTIVATING])
@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("activated", [True, False], ids=["activated", "bare"])
def test_bias_goes_only_before_a_norm_that_removes_it(name: str, placement: str, activated: bool) -> None:
    """The bias is dropped where batch, instance or a like norm follows directly, and nowhere else."""
    layer = _layer(name, placement, activated=activated)
    follows = placement == "before" or not activated
    assert (layer.layer.bias is None) is (name in REMOVING and follows)


@pytest.mark.parametrize("name", ACTIVATING)
def test_a_norm_that_includes_an_activation_gets_none(name: str) -> None:
    """The layer is norm(layer(x)), and where nothing is to be activated the norm is the one without."""
    made = [
        NormedLayer(partial(nn.Conv2d, 2, 4, 3), 4, NormFactory(REGISTRY[name]), Dials(), activated=activated)
        for activated in (True, False)
    ]
    x = torch.randn(2, 2, 5, 5)
    for layer in made:
        assert isinstance(layer.activation, nn.Identity) and layer.layer.bias is not None
        torch.testing.assert_close(layer.eval()(x), layer.norm(layer.layer(x)))
    assert len(list(made[0].parameters())) == len(list(made[1].parameters())) + 1


@pytest.mark.parametrize("name", ACTIVATING)
@pytest.mark.parametrize(
    ("dials", "message"),
    [(Dials(norm_placement="after"), "norm_placement=before"), (Dials(activation="tanh"), "model.activation=tanh")],
    ids=["after", "tanh"],
)
def test_settings_that_an_included_activation_excludes(name: str, dials: Dials, message: str) -> None:
    """The error says which setting would do nothing."""
    with pytest.raises(ImpossibleRunError, match=message):
        NormedLayer(partial(nn.Conv2d, 2, 4, 3), 4, NormFactory(REGISTRY[name]), dials)


@pytest.mark.parametrize("name", [name for name in REMOVING if name != "batch_noisy"])
def test_a_dropped_bias_would_have_done_nothing(name: str) -> None:
    """A bias a channel before these norms leaves the output as it is."""
    layer = _layer(name, "before")
    x = torch.randn(2, 2, 5, 5)
    without = layer(x)
    layer.layer.bias = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    torch.testing.assert_close(layer(x), without, atol=1e-5, rtol=1e-5)


def _before_activation(layer: NormedLayer, x: torch.Tensor) -> torch.Tensor:
    y = layer.layer(x)
    return layer.norm(y) if layer.norm_follows else y  # type: ignore[no-any-return]  # nn.Module calls are untyped


@pytest.mark.parametrize("name", ["none", "batch", "layer", "group", "instance"])
@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("activated", [True, False], ids=["activated", "bare"])
def test_bias_shifts_what_the_activation_gets(name: str, placement: str, activated: bool) -> None:
    """Whatever the norm and its place, a bias of -2 lowers every value that goes into the activation by 2."""
    layer = _layer(name, placement, activated=activated)
    x = torch.randn(2, 2, 5, 5)
    nn.init.constant_(layer.bias, 0.0)
    zero = _before_activation(layer, x)
    nn.init.constant_(layer.bias, -2.0)
    torch.testing.assert_close(_before_activation(layer, x), zero - 2)


@pytest.mark.parametrize("name", ["batch", "layer", "group", "instance"])
def test_a_norm_without_its_beta_leaves_no_bias_to_set(name: str) -> None:
    """Before the activation it would take a bias of the layer away; after it the layer has its own."""
    norm, layer = NormFactory(REGISTRY[name], {"affine": False}), partial(nn.Conv2d, 2, 4, 3)
    with pytest.raises(ImpossibleRunError, match=r"model\.bias_init .* has none; use a norm with affine=true"):
        _ = NormedLayer(layer, 4, norm, Dials()).bias
    after = NormedLayer(layer, 4, norm, Dials(norm_placement="after"))
    assert after.bias is after.layer.bias


def test_of_a_norm_that_knows_no_beta_the_layer_has_the_bias() -> None:
    """RMS norm takes no mean out: a bias before it has its effect."""
    layer = NormedLayer(partial(nn.Linear, 2, 4), 4, NormFactory(nn.RMSNorm), Dials())
    assert layer.bias is layer.layer.bias


def test_order_follows_the_placement() -> None:
    """Before: act(norm(layer)); after: norm(act(layer))."""
    x = torch.randn(2, 2, 5, 5)
    before, after = _layer("batch", "before"), _layer("batch", "after")
    torch.testing.assert_close(before(x), torch.tanh(before.norm(before.layer(x))))
    torch.testing.assert_close(after(x), after.norm(torch.tanh(after.layer(x))))


def test_a_bare_layer_has_no_activation() -> None:
    """Without activation the norm comes last."""
    x = torch.randn(2, 2, 5, 5)
    layer = _layer("batch", "before", activated=False)
    torch.testing.assert_close(layer(x), layer.norm(layer.layer(x)))
