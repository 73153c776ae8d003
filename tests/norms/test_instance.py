"""Tests of what instance norm refuses."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.norms.instance import InstanceNorm


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("shape", "place"), [((5, 3), "fully connected features"), ((5, 3, 1, 1), "maps of 1x1")], ids=["features", "1x1"]
)
def test_nothing_to_average_over_is_impossible(shape: tuple[int, ...], place: str, device: str, training: bool) -> None:
    """One position a channel raises; torch would read (N, C) as one sample instead."""
    norm = InstanceNorm(3).to(device).train(training)
    with pytest.raises(ImpossibleRunError, match=f"needs several positions to average over, got {place}"):
        norm(torch.zeros(shape, device=device))
