"""Mean and variance of each chunk of a batch, differentiable."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from normbench.norms.ghost import checked_chunks
from normbench.norms.statistics import Normalized
from normbench.ranks import ALONE, Ranks


class Moments(NamedTuple):
    """Mean and biased variance of each chunk of the whole batch, (K, C) each, without gradients."""

    mean: Tensor
    var: Tensor


class Chunks(NamedTuple):
    """A batch cut into k chunks of m consecutive samples, with the statistics of each.

    With ranks, the batch is a rank's rows of the whole batch: it has some of the chunks, or a part of one.

    Attributes:
        values: The batch, (k, m, C, ...).
        mean: Mean of each chunk and channel, (k, 1, C, 1, ...).
        var: Biased variance of the same.
        number: Values per chunk and channel.
        every: The moments of all K chunks of the whole batch; K = k without ranks.
    """

    values: Tensor
    mean: Tensor
    var: Tensor
    number: int
    every: Moments

    @classmethod
    def of(cls, x: Tensor, norm_batch_size: int | None, ranks: Ranks = ALONE) -> Self:
        """Cut x, (N, C, ...), into chunks of `norm_batch_size` samples; None takes the whole batch as one.

        Raises:
            ImpossibleRunError: If `norm_batch_size` does not divide the batch, or a channel has a single value.
        """
        channels = x.shape[1]
        sharing = ranks_of_a_chunk(len(x), norm_batch_size, ranks)
        values = x[None] if sharing > 1 else x.reshape(checked_chunks(x, norm_batch_size), -1, *x.shape[1:])
        var, mean = torch.var_mean(values, [1, *range(3, values.ndim)], correction=0, keepdim=True)
        number = sharing * (values.numel() // mean.numel())
        if sharing > 1:
            # Moments of parts of equal size: the variance between the parts is added to that within them.
            parts = ranks.each(torch.stack((mean, var)))
            groups = parts.reshape(-1, sharing, *parts.shape[1:])
            between, means = torch.var_mean(groups[:, :, 0], 1, correction=0)
            variances = groups[:, :, 1].mean(1) + between
            own = ranks.rank // sharing
            mean, var = means[own], variances[own]
        elif ranks.size > 1:
            means, variances = ranks.each(torch.stack((mean, var)).detach()).unbind(1)
        else:
            means, variances = mean, var
        every = Moments(means.detach().reshape(-1, channels), variances.detach().reshape(-1, channels))
        return cls(values, mean, var, number, every)

    def normalized(self, output: Tensor) -> Normalized:
        """Return an output, (k, m, C, ...), as a batch, with the statistics of all chunks of the whole batch."""
        unbiased = self.every.var * (self.number / (self.number - 1))
        return Normalized(output.flatten(0, 1), self.every.mean, unbiased)


def ranks_of_a_chunk(rows: int, norm_batch_size: int | None, ranks: Ranks) -> int:
    """Return how many ranks share each chunk: 1 if every rank has whole chunks.

    Args:
        rows: Samples of the batch that a rank has.
        norm_batch_size: Samples per chunk; None takes the whole batch as one.
        ranks: The ranks.
    """
    if ranks.size == 1:
        return 1
    return ranks.size if norm_batch_size is None else max(1, norm_batch_size // rows)
