"""Chunks that several ranks share, in one process: each rank is given the moments that the others would send."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from normbench.norms.moments import Chunks, ranks_of_a_chunk
from normbench.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Told(Ranks):
    """A rank that knows the whole batch, and so what every rank sends."""

    batch: Tensor | None = None

    def each(self, value: Tensor) -> Tensor:
        """Return the moments of each rank's rows, as `Chunks.of` computes its own."""
        assert self.batch is not None
        parts = self.batch.reshape(self.size, 1, -1, *self.batch.shape[1:])
        places = [2, *range(4, parts.ndim)]
        if value.shape[1] > 1:
            parts = parts.reshape(self.size, value.shape[1], -1, *self.batch.shape[1:])
        var, mean = torch.var_mean(parts, places, correction=0, keepdim=True)
        return torch.stack((mean, var), 1)


def by_ranks(x: Tensor, norm_batch_size: int | None, size: int) -> tuple[Tensor, list[Chunks]]:
    """Return a batch centred and divided by its chunks' statistics on several ranks, and the chunks of each."""
    each = [Chunks.of(x.chunk(size)[rank], norm_batch_size, Told(rank, size, x)) for rank in range(size)]
    return torch.cat([((one.values - one.mean) / (one.var + 1e-5)).flatten(0, 1) for one in each]), each


SIZES = {"whole batch": None, "all ranks": 16, "groups of two": 8, "one each": 4, "two each": 2}


@pytest.mark.parametrize("norm_batch_size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("shape", [(16, 3), (16, 3, 2, 2)], ids=["features", "maps"])
def test_ranks_have_the_statistics_of_the_whole_batch(norm_batch_size: int | None, shape: tuple[int, ...]) -> None:
    """Outputs, gradients and the moments of all chunks are those of one process, for groups of ranks too."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    alone, (one,) = by_ranks(x, norm_batch_size, 1)
    shared, each = by_ranks(x, norm_batch_size, 4)
    torch.testing.assert_close(shared, alone)
    torch.testing.assert_close(
        torch.autograd.grad((shared * weight).sum(), x), torch.autograd.grad((alone * weight).sum(), x)
    )
    for rank in each:
        torch.testing.assert_close(rank.every, one.every)
        torch.testing.assert_close(rank.normalized(rank.values).var, one.normalized(one.values).var)


def test_a_sample_a_rank_is_enough() -> None:
    """A chunk of several ranks may have one value per channel on each."""
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shared, _ = by_ranks(x, None, 4)
    torch.testing.assert_close(shared, by_ranks(x, None, 1)[0])


@pytest.mark.parametrize(("norm_batch_size", "expected"), [(None, 4), (32, 4), (16, 2), (8, 1), (4, 1)])
def test_a_chunk_lies_on_so_many_ranks(norm_batch_size: int | None, expected: int) -> None:
    """Eight rows on each of four ranks: larger chunks span ranks."""
    assert ranks_of_a_chunk(8, norm_batch_size, Ranks(0, 4)) == expected
    assert ranks_of_a_chunk(8, norm_batch_size, ALONE) == 1
