"""Tests of batch renorm's bounds and of what its correction is for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normbench.errors import ConfigError
from normbench.norms.batch_renorm import BatchRenorm

C = 3


def _data(*shape: int, seed: int = 0) -> Tensor:
    return 4 + 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _bounds(norm: BatchRenorm, step: int, chunks: int = 1) -> tuple[float, float]:
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.fill_(step * chunks)
    rmax, dmax = norm.bounds(chunks, like=torch.zeros((), dtype=torch.float64))
    return rmax.item(), dmax.item()


@pytest.mark.parametrize("chunks", [1, 4], ids=["whole", "ghost"])
@pytest.mark.parametrize(
    ("step", "rmax", "dmax"),
    [(0, 1, 0), (50, 1, 0), (51, 1 + 2 / 350, 5 / 200), (225, 2, 4.375), (250, 1 + 2 * 200 / 350, 5), (9999, 3, 5)],
)
def test_bounds_widen_with_the_step(step: int, rmax: float, dmax: float, chunks: int) -> None:
    """They are 1 and 0 for plain batch norm and grow linearly to 3 and 5, by steps however many chunks a step has."""
    assert _bounds(BatchRenorm(C), step, chunks) == pytest.approx((rmax, dmax))


def test_bounds_may_be_there_from_the_start() -> None:
    """With no steps to grow over they are complete at step 0."""
    assert _bounds(BatchRenorm(C, plain_steps=0, dmax_steps=0, rmax_steps=0), 0) == (3, 5)


def test_bounds_cannot_be_complete_before_they_begin_to_grow() -> None:
    """The error names the keys."""
    with pytest.raises(ConfigError, match=r"norm.plain_steps: got 300"):
        BatchRenorm(C, plain_steps=300)


def test_starts_as_batch_norm() -> None:
    """In the plain steps the output is that of batch norm."""
    x = _data(6, C)
    torch.testing.assert_close(BatchRenorm(C).double()(x), F.batch_norm(x, None, None, training=True))


def test_within_the_bounds_training_computes_what_evaluation_does() -> None:
    """Without clipping the corrected output is that by the running statistics from before the step."""
    norm = BatchRenorm(C, rmax=1e6, dmax=1e6, plain_steps=0, dmax_steps=0, rmax_steps=0).double()
    norm(_data(6, C))
    x = _data(6, C, seed=1)
    wanted = norm.eval()(x)
    torch.testing.assert_close(norm.train()(x), wanted)


def test_the_running_deviation_is_an_average_of_deviations() -> None:
    """Ioffe averages sigma, batch norm variances: from 1 and 3, by halves, comes 2 and not the root of 5."""
    norm = BatchRenorm(1, momentum=0.5, eps=1e-12).double()
    norm(torch.tensor([[-3.0], [3.0]], dtype=torch.float64))
    assert norm.running_var is not None
    assert norm.running_var.item() == pytest.approx(4)


def test_chunks_of_a_step_are_corrected_by_the_same_statistics() -> None:
    """Equal chunks come out equal: the first does not move what the second is corrected towards."""
    norm = BatchRenorm(C, norm_batch_size=3, momentum=0.5, plain_steps=0, dmax_steps=0, rmax_steps=0).double()
    half = _data(3, C)
    first, second = norm(torch.cat([half, half])).chunk(2)
    torch.testing.assert_close(first, second)
