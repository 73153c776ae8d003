"""Tests of the cutting of a batch into ghost batches."""

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.norms.ghost import channels_to_chunks, chunk_count, chunks_to_channels


@pytest.mark.parametrize(("size", "chunks"), [(None, 1), (6, 1), (3, 2), (1, 6)])
def test_counts_chunks(size: int | None, chunks: int) -> None:
    """A batch of six holds so many chunks of each size."""
    assert chunk_count(torch.zeros(6, 2), size) == chunks


def test_refuses_chunks_that_do_not_fill_the_batch() -> None:
    """A remainder raises."""
    with pytest.raises(ImpossibleRunError, match="norm_batch_size=4"):
        chunk_count(torch.zeros(6, 2), 4)


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3), (6, 2, 3, 4)], ids=str)
def test_chunks_lie_side_by_side_and_go_back(shape: tuple[int, ...]) -> None:
    """Channel c of chunk i lies at i * C + c, and the way back restores the batch."""
    x = torch.arange(torch.Size(shape).numel()).view(shape)
    wide = chunks_to_channels(x, 3)
    assert wide.shape == (2, 6, *shape[2:])
    assert torch.equal(wide[:, 2:4], x[2:4])
    assert torch.equal(channels_to_chunks(wide, 3), x)
