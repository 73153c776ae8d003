"""Tests of the initial weights."""

from functools import partial
from math import sqrt

import pytest
import torch
from torch import nn

from normbench.models.dials import Dials
from normbench.models.initialization import Initialization, initialize
from normbench.models.layers import NormedLayer
from normbench.norms import BatchNorm, LayerNorm, NoNorm, NormFactory
from normbench.randomness import generator


def _stream(name: str, seed: int = 0) -> torch.Generator:
    return generator(seed, "init", name)


class _Net(nn.Module):
    """A convolution, a norm, an extra parameter and a linear layer."""

    def __init__(self, init: Initialization | None, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(32, 64, 3, bias=bias)
        self.norm = nn.BatchNorm2d(64)
        self.scalar = nn.Parameter(torch.full((), 7.0))
        self.head = nn.Linear(400, 100)
        if init is not None:
            self.init = init


def _net(init: Initialization | None, *, bias: bool = True) -> _Net:
    net = _Net(init, bias=bias)
    initialize(net, _stream)
    return net


@pytest.mark.parametrize(
    ("init", "conv", "head"),
    [
        (Initialization("he"), sqrt(2 / 288), sqrt(2 / 400)),
        (Initialization("he", "tanh"), 5 / 3 / sqrt(288), 5 / 3 / sqrt(400)),
        (Initialization("he", "gelu", scale=0.5), 0.5 * sqrt(2 / 288), 0.5 * sqrt(2 / 400)),
        (Initialization("xavier"), sqrt(2 / (288 + 576)), sqrt(2 / 500)),
        (Initialization("xavier", scale=3.0), 3 * sqrt(2 / (288 + 576)), 3 * sqrt(2 / 500)),
        (Initialization("he", factors={"conv.weight": 0.1}), 0.1 * sqrt(2 / 288), sqrt(2 / 400)),
    ],
    ids=["he", "he-tanh", "he-gelu-halved", "xavier", "xavier-tripled", "he-with-factor"],
)
def test_weights_have_the_deviation_of_their_scheme(init: Initialization, conv: float, head: float) -> None:
    """Means are zero and deviations as the formulas say, within three percent of 20,000 numbers or more."""
    net = _net(init)
    for weight, wanted in ((net.conv.weight, conv), (net.head.weight, head)):
        assert weight.std().item() == pytest.approx(wanted, rel=0.03)
        assert weight.mean().item() == pytest.approx(0, abs=0.03 * wanted)


@pytest.mark.parametrize("distribution", ["he", "xavier"])
def test_deviation_is_that_of_torch(distribution: str) -> None:
    """The fans are counted as torch.nn.init counts them: the same generator gives the same numbers."""
    net = _net(Initialization(distribution))
    wanted = torch.empty_like(net.conv.weight)
    if distribution == "he":
        nn.init.kaiming_normal_(wanted, nonlinearity="relu", generator=_stream("conv.weight"))
    else:
        nn.init.xavier_normal_(wanted, generator=_stream("conv.weight"))
    torch.testing.assert_close(net.conv.weight.detach(), wanted)


def test_biases_are_zero_and_the_rest_stays() -> None:
    """Norms and lone parameters keep what their constructors gave them."""
    net = _net(Initialization("he"))
    assert net.conv.bias is not None
    assert not net.conv.bias.any() and not net.head.bias.any()
    assert (net.norm.weight == 1).all() and net.scalar.item() == 7.0


def test_constants_fill_whole_parameters() -> None:
    """A constant overrides what was drawn or constructed."""
    net = _net(Initialization("he", constants={"norm.weight": 0.0}))
    assert not net.norm.weight.any()


def test_a_bias_is_for_hidden_layers_alone() -> None:
    """It goes to each `NormedLayer`; a head, and what else has a bias, starts at zero."""
    net = _Net(Initialization("he", bias=-1.5))
    hidden = [
        NormedLayer(partial(nn.Linear, 3, 4), 4, NormFactory(norm), Dials()) for norm in (NoNorm, BatchNorm, LayerNorm)
    ]
    net.hidden = nn.ModuleList(hidden)
    initialize(net, _stream)
    assert net.conv.bias is not None
    assert not net.conv.bias.any() and not net.head.bias.any() and not net.norm.bias.any()
    assert all((layer.bias == -1.5).all() for layer in hidden)
    assert not hidden[2].get_parameter("layer.bias").any()


def test_no_bias_leaves_what_a_norm_was_constructed_with() -> None:
    """A user's norm may start its shift elsewhere."""
    net = _Net(Initialization("he"))
    hidden = NormedLayer(partial(nn.Linear, 3, 4), 4, NormFactory(BatchNorm), Dials())
    nn.init.constant_(hidden.bias, 0.5)
    net.hidden = hidden
    initialize(net, _stream)
    assert (hidden.bias == 0.5).all()


def test_a_weight_depends_on_its_name_and_seed_alone() -> None:
    """Other parameters, the order of drawing and the global generator change nothing."""
    torch.manual_seed(1)
    full = _net(Initialization("he"))
    torch.manual_seed(2)
    bare = _net(Initialization("he"), bias=False)
    assert torch.equal(full.head.weight, bare.head.weight)
    other = _Net(Initialization("he"))
    initialize(other, lambda name: _stream(name, seed=1))
    assert not torch.equal(full.head.weight, other.head.weight)


def test_dtype_does_not_change_the_numbers() -> None:
    """A float64 model gets the float32 model's weights."""
    single, double = _net(Initialization("he")), _Net(Initialization("he")).double()
    initialize(double, _stream)
    assert torch.equal(single.conv.weight.double(), double.conv.weight)


def test_a_model_without_a_scheme_is_left_alone() -> None:
    """A user's own model keeps its weights."""
    net = _Net(None)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    initialize(net, _stream)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_embedding_has_deviation_one() -> None:
    """Times scale and factor, whatever the distribution: a token has the size of standardised numbers."""
    net = nn.Module()
    net.tokens = nn.Embedding(100, 50)
    vars(net)["init"] = Initialization("xavier", scale=3.0, factors={"tokens.weight": 0.5})
    initialize(net, _stream)
    assert net.get_parameter("tokens.weight").std().item() == pytest.approx(1.5, rel=0.03)
