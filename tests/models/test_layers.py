"""Tests of the layer with its norm and activation."""

from functools import partial

import pytest
import torch
from torch import nn

from normbench.models.dials import Dials
from normbench.models.layers import NormedLayer
from normbench.norms import REGISTRY, NormFactory


def _layer(name: str, placement: str, *, activated: bool = True) -> NormedLayer:
    norm, dials = NormFactory(REGISTRY[name]), Dials(norm_placement=placement, activation="tanh")
    return NormedLayer(partial(nn.Conv2d, 2, 4, 3), 4, norm, dials, activated=activated)


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("activated", [True, False], ids=["activated", "bare"])
def test_bias_goes_only_before_a_norm_that_removes_it(name: str, placement: str, activated: bool) -> None:
    """The bias is dropped where batch or instance norm follows directly, and nowhere else."""
    layer = _layer(name, placement, activated=activated)
    follows = placement == "before" or not activated
    assert (layer.layer.bias is None) is (name in ("batch", "instance") and follows)


@pytest.mark.parametrize("name", ["batch", "instance"])
def test_a_dropped_bias_would_have_done_nothing(name: str) -> None:
    """A bias a channel before these norms leaves the output as it is."""
    layer = _layer(name, "before")
    x = torch.randn(2, 2, 5, 5)
    without = layer(x)
    layer.layer.bias = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    torch.testing.assert_close(layer(x), without, atol=1e-5, rtol=1e-5)


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
