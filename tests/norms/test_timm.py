"""Layers against timm's, which computes variances in float32 whatever it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from timm.layers.evo_norm import EvoNorm2dB0, EvoNorm2dS0
from timm.layers.filter_response_norm import FilterResponseNormTlu2d
from timm.layers.split_batchnorm import SplitBatchNorm2d
from timm.layers.std_conv import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn

from normbench.norms import (
    BatchNorm,
    EvoNormB0,
    EvoNormS0,
    FilterResponseNorm,
    ScaledWeight,
    WeightStandardizedGroupNorm,
)

IN, C = 4, 6


@dataclass(frozen=True)
class Pair:
    """A layer of ours and timm's, and what timm calls the entries of our state dict that bear another name there."""

    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]
    names: Mapping[str, str]


def _conv() -> nn.Conv2d:
    return nn.Conv2d(IN, C, 3, stride=2, padding=1, bias=False)


PAIRS = {
    "frn": Pair(
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), FilterResponseNorm(C, eps=1e-5)),
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), FilterResponseNormTlu2d(C, eps=1e-5)),
        {},
    ),
    "evonorm_b0": Pair(
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), EvoNormB0(C, eps=1e-3)),
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), EvoNorm2dB0(C, eps=1e-3)),
        {},
    ),
    "evonorm_s0": Pair(
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), EvoNormS0(C, num_groups=2)),
        lambda: nn.Sequential(nn.Conv2d(IN, C, 1), EvoNorm2dS0(C, groups=2, eps=1e-5)),
        {},
    ),
    "weight_standardized_group": Pair(
        lambda: nn.Sequential(
            WeightStandardizedGroupNorm.weighted(_conv()), WeightStandardizedGroupNorm(C, num_groups=2)
        ),
        lambda: nn.Sequential(StdConv2d(IN, C, 3, stride=2, padding=1), nn.GroupNorm(2, C)),
        {},
    ),
    "scaled_weight": Pair(
        lambda: nn.Sequential(ScaledWeight.weighted(_conv()), ScaledWeight(C, activation_gain=1.7)),
        lambda: nn.Sequential(ScaledStdConv2d(IN, C, 3, stride=2, padding=1, bias=False, gamma=1.7)),
        {"1.weight": "0.gain"},
    ),
}


def _images(seed: int) -> Tensor:
    return 3 + 2 * torch.randn(5, IN, 8, 6, generator=torch.Generator().manual_seed(seed))


def _twins(pair: Pair) -> tuple[nn.Module, nn.Module]:
    """Return both layers, timm's with the state of ours; what it has no counterpart of stays out."""
    ours, theirs = pair.ours(), pair.theirs()
    generator = torch.Generator().manual_seed(0)
    known = theirs.state_dict()
    with torch.no_grad():
        for name, param in ours.named_parameters():
            param.copy_(torch.randn(param.shape, generator=generator))
            known[_theirs(pair, name)].copy_(param.view_as(known[_theirs(pair, name)]))
    return ours, theirs


def _theirs(pair: Pair, name: str) -> str:
    return pair.names.get(name, name)


def _step(module: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    module.zero_grad()
    y = module(x)
    torch.autograd.backward(y.pow(3).mean())
    gradients = {name: param.grad.flatten() for name, param in module.named_parameters() if param.grad is not None}
    return y.detach(), gradients


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_timms(name: str, training: bool) -> None:
    """Outputs, gradients and running variances are timm's, over training steps and in evaluation after them."""
    pair = PAIRS[name]
    ours, theirs = _twins(pair)
    for step in range(3):
        torch.testing.assert_close(ours(_images(step)), theirs(_images(step)), rtol=1e-4, atol=1e-4)
    y, gradients = _step(ours.train(training), _images(9))
    wanted, wanted_gradients = _step(theirs.train(training), _images(9))
    torch.testing.assert_close(y, wanted, rtol=1e-4, atol=1e-4)
    named = {_theirs(pair, name): gradient for name, gradient in gradients.items()}
    assert named.keys() == wanted_gradients.keys()
    for key, gradient in named.items():
        scale = float(wanted_gradients[key].abs().max())
        torch.testing.assert_close(gradient, wanted_gradients[key], rtol=1e-4, atol=1e-4 * scale)
    buffers = dict(ours.named_buffers())
    for key, buffer in theirs.named_buffers():
        torch.testing.assert_close(buffers[key], buffer, rtol=1e-4, atol=1e-5)


def test_timms_split_batch_norm_is_no_ghost_batch_norm() -> None:
    """Its chunks have layers of their own, and the first one's statistics alone serve evaluation; ours know all."""
    ours = BatchNorm(C, norm_batch_size=2, momentum=0.5)
    theirs = SplitBatchNorm2d(C, num_splits=2, momentum=0.5)  # type: ignore[no-untyped-call]  # timm's own
    x = 3 + torch.randn(4, C, 3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x))
    first, second = (chunk.mean((0, 2, 3)) for chunk in torch.split(x, 2))
    torch.testing.assert_close(theirs.running_mean, first / 2)
    torch.testing.assert_close(ours.running_mean, first / 4 + second / 2)
