import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from normbench.norms import NormFactory
from normbench.training.cost import Cost, counting

IMAGES = torch.zeros(2, 8, 9, 9)
WORDS = torch.zeros(2, 5, 8)


def cost_of(model: nn.Module, *inputs: Tensor) -> Cost:
    """Return the cost of one forward pass, without gradients as in a dry run."""
    with torch.no_grad(), counting(model) as cost:
        model(*inputs)
    return cost


LAYERS: dict[str, tuple[nn.Module, Tensor, int]] = {
    "linear": (nn.Linear(8, 3), IMAGES[:, :, 0, 0], 2 * 8 * 3),
    "linear without bias": (nn.Linear(8, 3, bias=False), IMAGES[:, :, 0, 0], 2 * 8 * 3),
    "linear on words": (nn.Linear(8, 3), WORDS, 2 * 5 * 8 * 3),
    "convolution": (nn.Conv2d(8, 6, 3, padding=1), IMAGES, 2 * 6 * 81 * 8 * 9),
    "strided": (nn.Conv2d(8, 6, 3, stride=2), IMAGES, 2 * 6 * 16 * 8 * 9),
    "dilated": (nn.Conv2d(8, 6, 3, dilation=2), IMAGES, 2 * 6 * 25 * 8 * 9),
    "grouped": (nn.Conv2d(8, 6, 3, padding=1, groups=2), IMAGES, 2 * 6 * 81 * 4 * 9),
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), IMAGES, 2 * 8 * 81 * 9),
    "transposed": (nn.ConvTranspose2d(8, 6, 3, groups=2), IMAGES, 2 * 8 * 81 * 3 * 9),
    "one-dimensional": (nn.Conv1d(8, 6, 3), IMAGES[:, :, 0], 2 * 6 * 7 * 8 * 3),
    "LSTM": (nn.LSTM(8, 6, batch_first=True), WORDS, 2 * 5 * 4 * (8 * 6 + 6 * 6)),
    "GRU": (nn.GRU(8, 6, batch_first=True), WORDS, 2 * 5 * 3 * (8 * 6 + 6 * 6)),
    "two directions": (nn.LSTM(8, 6, batch_first=True, bidirectional=True), WORDS, 2 * 2 * 5 * 4 * (8 * 6 + 6 * 6)),
    "LSTM cell": (nn.LSTMCell(8, 6), WORDS[0], 5 * 4 * (8 * 6 + 6 * 6)),
}


@pytest.mark.parametrize(("layer", "x", "multiply_adds"), LAYERS.values(), ids=LAYERS)
def test_multiply_adds_of_a_layer(layer: nn.Module, x: Tensor, multiply_adds: int) -> None:
    """They are those of the textbook formula, written out for two samples."""
    assert cost_of(layer, x).multiply_adds == multiply_adds


class SelfAttention(nn.Module):
    """Attention of words to each other, by torch's layer."""

    def __init__(self, *, weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=self.weights)[0]
        return out


@pytest.mark.parametrize("weights", [True, False], ids=["products", "fused"])
def test_multiply_adds_of_attention(weights: bool) -> None:
    """Four projections of each word, and for each pair of words a score and a part of the mean."""
    assert cost_of(SelfAttention(weights=weights), WORDS).multiply_adds == 2 * (5 * 4 * 8 * 8 + 5 * 5 * 2 * 8)


class Functional(nn.Module):
    """A layer of a user's who calls functions, some of them twice."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


SHARED = nn.Linear(8, 8)

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "matmul": (lambda x: x @ x.mT, 2 * 5 * 8 * 5),
    "matrix and vector": (lambda x: x @ x[0, 0], 2 * 5 * 8),
    "einsum": (lambda x: torch.einsum("bij,bkj->bik", x, x), 2 * 5 * 8 * 5),
    "baddbmm": (lambda x: torch.baddbmm(x[:, :, :5], x, x.mT), 2 * 5 * 8 * 5),
    "linear": (lambda x: F.linear(x, SHARED.weight), 2 * 5 * 8 * 8),
    "one layer twice": (lambda x: SHARED(SHARED(x)), 2 * 2 * 5 * 8 * 8),
    "masked attention": (lambda x: F.scaled_dot_product_attention(x, x, x, x.new_zeros(5, 5)), 2 * 2 * 5 * 5 * 8),
    "vmap": (torch.vmap(lambda x: x @ x.T), 2 * 5 * 8 * 5),
    "no product": (lambda x: x * x + 1, 0),
}


@pytest.mark.parametrize(("function", "multiply_adds"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_multiply_adds_of_functions(function: Callable[[Tensor], Tensor], multiply_adds: int) -> None:
    """Operations count whether or not a layer calls them, and as often as they are called."""
    assert cost_of(Functional(function), WORDS).multiply_adds == multiply_adds


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(196, 3)),
        nn.Sequential(nn.ConvTranspose2d(8, 4, 3, stride=2), nn.Conv2d(4, 4, 3, stride=2)),
        nn.Sequential(nn.Flatten(2), nn.Linear(81, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
    ],
    ids=["depthwise", "transposed", "transformer"],
)
def test_torchs_counter_agrees(model: nn.Module) -> None:
    """It counts two operations per multiply-add."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(IMAGES)
    assert 2 * cost_of(model, IMAGES).multiply_adds == counter.get_total_flops() > 0


def test_outputs_are_those_of_the_layers() -> None:
    """Each layer counts once per call, and a container never."""
    model = nn.Sequential(nn.Linear(8, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    assert cost_of(model, WORDS).outputs == 2 * 5 * (3 + 3 + 2)


def test_operations_include_those_of_norms() -> None:
    """A norm adds dispatch, though no multiply-adds: a call of torch's operations is one, whatever its size."""
    plain = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    normed = nn.Sequential(nn.Linear(8, 4), NormFactory(nn.LayerNorm)(4), nn.ReLU())
    x = IMAGES[:, :, 0, 0]
    assert cost_of(plain, x).operations == cost_of(plain, x.repeat(9, 1)).operations >= 2
    assert cost_of(normed, x).operations == cost_of(plain, x).operations + 1


def test_counting_imports_nothing() -> None:
    """A plan does not wait for torch's compiler."""
    code = (
        "import sys, torch; from torch import nn; from normbench.training.cost import counting\n"
        "model = nn.Linear(2, 2)\n"
        "with torch.no_grad(), counting(model) as cost: model(torch.zeros(1, 2))\n"
        "assert cost.multiply_adds == 4\n"
        "assert not {'torch._dynamo', 'triton'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
