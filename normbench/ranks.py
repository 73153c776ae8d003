"""The ranks of a data-parallel run: processes that each train on their rows of every batch, and what they exchange."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among the N ranks of a run.

    Every rank draws the same random numbers for the whole batch, and takes its rows. What it computes from them is
    exchanged here, through the default process group of `torch.distributed`, in the same order on every rank. Sums
    have the same bits on all ranks, so that their weights stay equal.

    Attributes:
        rank: Number of this process, from 0; rank 0 writes what is written.
        size: Number of processes N; 1 exchanges nothing.
    """

    rank: int = 0
    size: int = 1

    def rows(self, whole: Tensor) -> Tensor:
        """Return this rank's consecutive rows (B/N, ...) of what a whole batch has, (B, ...)."""
        count = len(whole) // self.size
        return whole[self.rank * count : (self.rank + 1) * count]

    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks, (B, ...), from those of each, (B/N, ...); only the own ones have a gradient.

        So a loss of the whole batch, which every rank computes, gives each rank the gradient of its own rows.
        """
        if self.size == 1:
            return rows
        return torch.cat([rows if rank == self.rank else part for rank, part in enumerate(self._gathered(rows))])

    def each(self, value: Tensor) -> Tensor:
        """Return the value of every rank, (N, ...); its gradient is summed over the ranks."""
        gathered: Tensor = _Each.apply(value, self)
        return gathered

    def summed(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return tensors of one dtype summed over the ranks, in one exchange."""
        if self.size == 1:
            return list(values)
        flat = torch.cat([value.reshape(-1) for value in values])
        dist.all_reduce(flat)
        parts = torch.split(flat, [value.numel() for value in values])
        return [part.view_as(value) for part, value in zip(parts, values, strict=True)]

    def of_first(self, value: Any) -> Any:
        """Return the value of rank 0, anything that can be pickled."""
        if self.size == 1:
            return value
        box = [value if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def _gathered(self, value: Tensor) -> list[Tensor]:
        value = value.detach().contiguous()
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value)
        return parts


class _Each(torch.autograd.Function):
    """`Ranks.each`: gathers forward, sums the gradients backward."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return torch.stack(ranks._gathered(value))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.ranks.rank], None


ALONE = Ranks()
"""The only process of a run."""
