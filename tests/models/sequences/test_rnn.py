"""Tests of recurrent networks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.dropout import Dropout, draw_masks
from normbench.models.initialization import initialize
from normbench.models.sequences.rnn import rnn
from normbench.norms import REGISTRY, LayerNorm, NoNorm, NormFactory
from normbench.randomness import generator
from normbench.shapes import SequenceShape

from .test_cells import copied

NUMBERS = SequenceShape(length=6, features=3, padded=True)
TOKENS = SequenceShape(length=6, vocabulary=5)
LENGTHS = torch.tensor([6, 2, 4, 1])


def _numbers() -> Tensor:
    return torch.randn(4, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _net(shape: SequenceShape, norm: type[nn.Module] = NoNorm, seed: int = 0, **settings: Any) -> nn.Module:
    net = rnn(shape, 3, NormFactory(norm), **{"width": 4, **settings})
    initialize(net, lambda name: generator(seed, name))
    return net.double()


TORCHS = pytest.mark.parametrize(("cell", "layer"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])


def _torchs(net: Any, layer: Any, bidirectional: bool) -> Any:
    """Return torch's two layers with the weights of a net."""
    theirs = layer(3, 4, 2, batch_first=True, bidirectional=bidirectional, dtype=torch.float64)
    for place in range(2):
        copied(net.layers[place], theirs, f"l{place}")
        if bidirectional:
            copied(net.backward_layers[place], theirs, f"l{place}_reverse")
    return theirs


@TORCHS
def test_every_step_without_a_norm_is_torchs(cell: str, layer: Any) -> None:
    """Outputs at every step of two layers agree to 1e-12."""
    net: Any = _net(NUMBERS._replace(every_step=True), cell=cell, depth=2)
    wanted = net.head(_torchs(net, layer, False)(_numbers())[0])
    torch.testing.assert_close(net(_numbers()), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@TORCHS
def test_without_a_norm_it_is_torchs(cell: str, layer: Any, bidirectional: bool) -> None:
    """Outputs of two layers on sequences of several lengths, and their gradients, agree to 1e-12."""
    net: Any = _net(NUMBERS, cell=cell, depth=2, bidirectional=bidirectional)
    theirs = _torchs(net, layer, bidirectional)
    packed = pack_padded_sequence(_numbers(), LENGTHS, batch_first=True, enforce_sorted=False)
    _, last = theirs(packed)
    last = last[0] if cell == "lstm" else last
    wanted = net.head(torch.cat(list(last[-2:]), 1) if bidirectional else last[-1])
    outputs = net(_numbers(), LENGTHS)
    torch.testing.assert_close(outputs, wanted, rtol=1e-12, atol=1e-12)
    torch.autograd.backward(outputs.square().sum() + wanted.square().sum())
    for place, ours in enumerate(net.layers):
        for name, kind in (("input", "weight_ih"), ("recurrent", "weight_hh")):
            gradient = theirs.get_parameter(f"{kind}_l{place}").grad
            torch.testing.assert_close(getattr(ours, name).weight.grad, gradient, rtol=1e-12, atol=1e-12)


def test_tokens_are_embedded() -> None:
    """Embeddings have the width of a layer, and tokens that are not there get no gradient."""
    net = _net(TOKENS)
    net(torch.tensor([[1, 2, 2, 1, 1, 2]])).sum().backward()
    gradient = net.get_parameter("embedding.weight").grad
    assert gradient is not None
    assert gradient.shape == (5, 4)
    assert gradient.any(1).tolist() == [False, True, True, False, False]


def test_dropout_follows_every_layer() -> None:
    """Masks of zero on what the head reads leave its bias."""
    net = _net(NUMBERS, depth=2, dropout=0.5, bidirectional=True)
    shapes = [module.features for module in net.modules() if isinstance(module, Dropout)]
    assert shapes == [(6, 8), (8,)]
    draw_masks(net, 4, torch.Generator().manual_seed(0))
    net.get_buffer("dropouts.1.mask").zero_()
    torch.testing.assert_close(net(_numbers(), LENGTHS), net.get_parameter("head.bias").expand(4, 3))


REFUSED = {
    "later steps": ({"bidirectional": True}, r"model\.bidirectional=true reads later steps"),
    "no activation": ({"activation": "relu"}, r"model\.activation=relu would have no effect on cell=lstm"),
    "over time in a cell": ({"norm_over": "time"}, r"model\.norm_over=time"),
    "pooling later steps": ({"norm_over": "time", "norm_place": "input"}, "would depend on later steps"),
    "skipinit": ({"init": "skipinit"}, "init=skipinit"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    """Each in one line that says what to do."""
    with pytest.raises(ImpossibleRunError, match=message):
        rnn(TOKENS._replace(every_step=True), 5, NormFactory(LayerNorm), **settings)


@pytest.mark.parametrize("settings", [{"width": 0}, {"depth": 0}, {"cell": "lstms"}, {"norm_place": "cell"}], ids=str)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """Unknown names and empty nets."""
    with pytest.raises(ConfigError, match=r"unknown value|of at least 1"):
        rnn(TOKENS, 5, NormFactory(NoNorm), **settings)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_norms_share_the_initial_weights(cell: str) -> None:
    """Arms with one seed differ in their norms, not in their initial weights."""

    def weights(norm: str) -> dict[str, Tensor]:
        net = _net(TOKENS, REGISTRY[norm], cell=cell, norm_place="both")
        return {name: value for name, value in net.named_parameters() if value.ndim > 1}

    reference = weights("none")
    for norm in REGISTRY:
        torch.testing.assert_close(weights(norm), reference, rtol=0, atol=0)
