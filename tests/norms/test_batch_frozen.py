"""Tests of when statistics freeze."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.norms.batch_frozen import BatchFrozen

C = 3


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 4 + 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [None, 2], ids=["whole", "ghost"])
def test_freezes_at_the_step(size: int | None) -> None:
    """Two steps update the buffers, however many chunks each has, and none after them does."""
    norm = BatchFrozen(C, freeze_step=2, norm_batch_size=size).double()
    states = []
    for step in range(4):
        norm(_data(6, C, seed=step))
        states.append(copy.deepcopy(norm.state_dict()))
    assert not torch.equal(states[0]["running_mean"], states[1]["running_mean"])
    for key, frozen in states[1].items():
        assert torch.equal(frozen, states[3][key])


def test_once_frozen_training_is_evaluation() -> None:
    """A sample's output no longer depends on its neighbours."""
    norm = BatchFrozen(C, freeze_step=1).double()
    norm(_data(6, C))
    x = _data(6, C, seed=1)
    torch.testing.assert_close(norm(x)[:2], norm.eval()(x[:2]))


def test_a_step_of_zero_leaves_the_affine_map() -> None:
    """Frozen from the start, mean and variance are 0 and 1."""
    x = _data(6, C)
    wanted = F.batch_norm(x, torch.zeros(C).double(), torch.ones(C).double())
    torch.testing.assert_close(BatchFrozen(C, freeze_step=0).double()(x), wanted)
