"""Tests of the search for normalization that no layer shows."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers.std_conv import StdConv2d
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.hidden_norms import refusing_hidden_norms
from normbench.models.replacement import replace_norms
from normbench.norms import CHOICES, NormFactory


class Hiding(nn.Module):
    """A norm as a layer and another as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(self.shown(x), 3)


def forward(model: nn.Module, norm: str) -> None:
    model = replace_norms(model, NormFactory(CHOICES[norm]), name="made up")
    with refusing_hidden_norms(model):
        model(torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Hiding(), r"forward \(group_norm in Hiding\)"),
        (nn.Sequential(Hiding()), r"0 \(group_norm in Hiding\)"),
        (
            nn.Sequential(StdConv2d(3, 3, 3), nn.BatchNorm2d(3)),
            r"0 \(batch_norm in StdConv2d\)",
        ),
    ],
    ids=["at the top", "in a block", "of weights"],
)
def test_a_norm_by_a_function_is_refused_with_its_place(model: nn.Module, message: str) -> None:
    """It would stay in every arm of an ablation."""
    with pytest.raises(ImpossibleRunError, match=message):
        forward(model, "batch")


def test_kept_norms_may_hide() -> None:
    """With norm=keep nothing is to be replaced."""
    forward(Hiding(), "keep")


def test_the_runs_own_norms_are_no_hidden_ones() -> None:
    """They call the same functions; no hook is left behind."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm(16))
    forward(model, "layer_channels")
    assert [len(layer._forward_pre_hooks) for layer in model] == [0, 1]
