"""Models of sequences stacked against solo, and against stacks with other neighbours."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from normbench.models.dropout import draw_masks
from normbench.models.initialization import initialize
from normbench.models.registry import REGISTRY
from normbench.norms import REGISTRY as NORMS
from normbench.norms import NormFactory
from normbench.randomness import generator
from normbench.shapes import PairShape, SequenceShape
from normbench.training.stack import Stack, run_multiple, unknown_layers

BATCH, LENGTH, VOCABULARY = 5, 7, 9


class Case(NamedTuple):
    """A model and its inputs."""

    model: str
    shape: SequenceShape | PairShape
    settings: dict[str, Any]


TOKENS = SequenceShape(LENGTH, vocabulary=VOCABULARY, padded=True)
CAUSAL = SequenceShape(LENGTH, vocabulary=VOCABULARY, every_step=True)
NUMBERS = SequenceShape(LENGTH, features=3)
CASES = {
    "rnn": Case("rnn", TOKENS, {"cell": "rnn"}),
    "gru": Case("rnn", NUMBERS, {"cell": "gru", "depth": 2, "dropout": 0.5}),
    "elu": Case("rnn", NUMBERS, {"cell": "rnn", "activation": "elu"}),
    "lstm": Case("rnn", CAUSAL, {"cell": "lstm"}),
    "bidirectional": Case("rnn", TOKENS, {"cell": "lstm", "bidirectional": True}),
    "encoder": Case("transformer", TOKENS, {"heads": 2, "dropout": 0.5}),
    "numbers": Case("transformer", NUMBERS, {"heads": 2}),
    "decoder": Case("transformer", CAUSAL, {"heads": 4}),
    "seq2seq": Case("seq2seq", PairShape(TOKENS._replace(length=5), TOKENS), {"heads": 2}),
}


def made(case: Case, norm: str, seed: int) -> nn.Module:
    """Return a model with the weights and masks of a seed."""
    net = REGISTRY[case.model](case.shape, VOCABULARY, NormFactory(NORMS[norm]), width=8, **case.settings)
    initialize(net, lambda name: generator(seed, name))
    draw_masks(net, BATCH, generator(seed, "dropout"))
    return net.to(torch.get_default_dtype())


def inputs_of(shape: SequenceShape | PairShape, seed: int) -> tuple[Tensor, ...]:
    """Return sequences, and their lengths if they differ."""
    if isinstance(shape, PairShape):
        return (*inputs_of(shape.source, seed), *inputs_of(shape.target, seed + 100))
    draws = torch.Generator().manual_seed(seed)
    if shape.vocabulary:
        x = torch.randint(shape.vocabulary, (BATCH, shape.length), generator=draws)
    else:
        x = torch.randn(BATCH, shape.length, shape.features, generator=draws)
    return (x, torch.randint(1, shape.length + 1, (BATCH,), generator=draws)) if shape.padded else (x,)


def gradients(nets: list[nn.Module], seeds: list[int], case: Case) -> Any:
    """Return the gradients of stacked nets, each on the inputs of its seed, and the stack's buffers."""
    stack = Stack(nets, nets[0])
    inputs = tuple(torch.stack(fields) for fields in zip(*(inputs_of(case.shape, seed) for seed in seeds), strict=True))

    def loss(params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        outputs: Tensor = functional_call(nets[0], (params, buffers), inputs)
        return outputs.square().mean()

    return torch.vmap(grad(loss))(stack.stacked_params, stack.stacked_buffers, inputs), stack.stacked_buffers


@pytest.mark.parametrize("norm", ["none", "layer", "batch", "rms"])
@pytest.mark.parametrize("name", CASES)
def test_stacked_gradients_are_those_of_each_net_alone(name: str, norm: str) -> None:
    """Gradients and buffers agree to 1e-10 in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        nets = [made(CASES[name], norm, seed) for seed in range(3)]
        stacked, buffers = gradients(nets, [0, 1, 2], CASES[name])
        for seed, net in enumerate(nets):
            net(*inputs_of(CASES[name].shape, seed)).square().mean().backward()
            alone = {key: value.grad for key, value in net.named_parameters() if value.requires_grad}
            torch.testing.assert_close(
                {key: value[seed] for key, value in stacked.items()}, alone, rtol=1e-10, atol=1e-12
            )
            for key, buffer in net.named_buffers():
                torch.testing.assert_close(buffers[key][seed], buffer, rtol=1e-10, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("norm", ["none", "layer", "batch", "rms"])
@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_a_net_do_not_depend_on_its_neighbours(name: str, norm: str) -> None:
    """First or last, in stacks of several sizes, its gradients and buffers have the same bits."""
    case = CASES[name]
    net = made(case, norm, 0)
    assert unknown_layers(net) == []
    multiple = run_multiple(net)
    assert multiple
    orders = [list(range(size)) for size in (2 * multiple, 3 * multiple, 5 * multiple)]
    orders.append(orders[-1][::-1])
    found = []
    for seeds in orders:
        stacked, buffers = gradients([made(case, norm, seed) for seed in seeds], seeds, case)
        found.append({key: value[seeds.index(0)].clone() for key, value in {**stacked, **buffers}.items()})
    for other in found[1:]:
        assert [key for key, value in other.items() if not torch.equal(value, found[0][key])] == []


@pytest.mark.parametrize("activation", ["elu", "silu", "sigmoid", "gelu", "tanh"])
@pytest.mark.parametrize("model", ["rnn", "mlp"])
def test_activations_that_round_by_place_fill_whole_vectors(model: str, activation: str) -> None:
    """A batch of five and a width of eight leave a remainder in a stack of any odd size."""
    shape: Any = NUMBERS if model == "rnn" else (1, 4, 4)
    cell = {"cell": "rnn"} if model == "rnn" else {}
    net = made(Case(model, shape, {**cell, "activation": activation}), "none", 0)
    assert run_multiple(net) == (4 if activation in ("elu", "silu", "sigmoid") else 1)
