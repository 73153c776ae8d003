"""Tests of what layer norm refuses."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.norms.layer import LayerNorm


@pytest.mark.parametrize("shape", [(3, 1), (3, 1, 1, 1)], ids=["features", "1x1"])
def test_one_value_a_sample_is_impossible(shape: tuple[int, ...]) -> None:
    """A layer of one unit would be constant."""
    with pytest.raises(ImpossibleRunError, match="only one value per sample"):
        LayerNorm(1)(torch.zeros(shape))
