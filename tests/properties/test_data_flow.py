from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.properties.data_flow import NormPlace, places
from normbench.properties.published import without_memory

IMAGE = torch.zeros(1, 3, 64, 64, device="meta")


class Net(nn.Module):
    """A convolution and a batch norm, with a forward pass of the test."""

    def __init__(self, passed: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.passed = passed

    def forward(self, x: Tensor) -> Tensor:
        return self.passed(self, x)


def in_place(net: Net, x: Tensor) -> Tensor:
    y = net.norm(net.conv(x))
    y += x
    return F.relu(y, inplace=True)


PASSES: dict[str, tuple[Callable[[Net, Tensor], Tensor], tuple[bool, bool, bool]]] = {
    "between": (lambda net, x: F.relu(net.norm(net.conv(x))), (True, False, True)),
    "after the activation": (lambda net, x: net.norm(F.gelu(net.conv(x))), (False, True, False)),
    "activation and then the next layer": (lambda net, x: net.conv(net.norm(torch.tanh(x))), (False, True, False)),
    "before the convolution": (lambda net, x: net.conv(F.silu(net.norm(x))), (False, False, True)),
    "no activation": (lambda net, x: net.conv(net.norm(net.conv(x))), (True, False, False)),
    "activation after the sum": (lambda net, x: torch.relu(x + net.norm(net.conv(x))), (True, False, True)),
    "all in place": (in_place, (True, False, True)),
    "sum before the norm": (lambda net, x: F.relu(net.norm(net.conv(x) + x)), (False, False, True)),
    "flattened in between": (
        lambda net, x: net.norm(net.conv(x).permute(0, 1, 3, 2)).flatten(1).relu(),
        (True, False, True),
    ),
    "activation two layers on": (lambda net, x: F.relu(net.conv(net.norm(net.conv(x)))), (True, False, False)),
}


@pytest.mark.parametrize(("passed", "expected"), PASSES.values(), ids=PASSES)
def test_what_stands_before_and_after(
    passed: Callable[[Net, Tensor], Tensor], expected: tuple[bool, bool, bool]
) -> None:
    """By the tensors, whether layers or functions make them, and through what only moves values."""
    assert places(without_memory(lambda: Net(passed)), IMAGE) == [NormPlace("batch_norm", *expected)]


def test_a_norm_that_is_not_called_has_no_place() -> None:
    """And one that is called twice has two; other norms have their own names."""
    assert places(without_memory(lambda: Net(lambda net, x: net.conv(x))), IMAGE) == []
    twice = without_memory(lambda: Net(lambda net, x: F.layer_norm(net.norm(net.norm(x)), (64,))))
    assert [place.norm for place in places(twice, IMAGE)] == ["batch_norm", "batch_norm", "layer_norm"]
