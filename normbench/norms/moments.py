"""Mean and variance of each chunk of a batch, differentiable."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from normbench.norms.ghost import checked_chunks
from normbench.norms.statistics import Normalized
from normbench.ranks import ALONE, Ranks


class Moments(NamedTuple):
    """Mean and biased variance of each chunk of the whole batch, (K, C) each, without gradients.

    Attributes:
        counts: Valid values per channel of each chunk, (K,); None if all are valid.
    """

    mean: Tensor
    var: Tensor
    counts: Tensor | None = None


class Chunks(NamedTuple):
    """A batch cut into k chunks of m consecutive samples, with the statistics of each.

    With ranks, the batch is a rank's rows of the whole batch: it has some of the chunks, or a part of one.

    Attributes:
        values: The batch, (k, m, C, ...).
        mean: Mean of each chunk and channel, (k, 1, C, 1, ...).
        var: Biased variance of the same.
        number: Values per chunk and channel; if some are padding, (K, 1) for the chunks of the whole batch.
        every: The moments of all K chunks of the whole batch; K = k without ranks.
    """

    values: Tensor
    mean: Tensor
    var: Tensor
    number: int | Tensor
    every: Moments

    @classmethod
    def of(cls, x: Tensor, norm_batch_size: int | None, ranks: Ranks = ALONE, valid: Tensor | None = None) -> Self:
        """Cut x into chunks of consecutive samples.

        Args:
            x: (N, C, ...).
            norm_batch_size: Samples per chunk; None takes the whole batch as one.
            ranks: The ranks that share the whole batch.
            valid: (N, ...) bool, which positions of which samples are no padding; None if all are valid.

        Raises:
            ImpossibleRunError: If `norm_batch_size` does not divide the batch, or a channel has a single value.
        """
        if valid is not None:
            return cls._of_valid(x, norm_batch_size, ranks, valid)
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

    @classmethod
    def _of_valid(cls, x: Tensor, norm_batch_size: int | None, ranks: Ranks, valid: Tensor) -> Self:
        """Cut x into chunks whose statistics are those of their valid values; an empty chunk has mean and variance 0.

        Args:
            x: (N, C, ...).
            norm_batch_size: Samples per chunk.
            ranks: The ranks.
            valid: (N, ...).
        """
        channels = x.shape[1]
        sharing = ranks_of_a_chunk(len(x), norm_batch_size, ranks)
        chunks = 1 if sharing > 1 else checked_chunks(x, norm_batch_size)
        values = x.reshape(chunks, -1, *x.shape[1:])
        weight = valid.to(x.dtype).reshape(chunks, -1, 1, *valid.shape[1:])
        places = [1, *range(3, values.ndim)]

        def averaged(terms: Tensor, number: Tensor) -> Tensor:
            return (terms * weight).sum(places, keepdim=True) / number.clamp(min=1)

        count = weight.sum(places, keepdim=True)
        mean = averaged(values, count)
        var = averaged((values - mean).square(), count)
        means, variances, counts = mean, var, count.expand_as(mean)
        if ranks.size > 1:
            means, variances, counts = ranks.each(torch.stack((means, variances, counts))).unbind(1)
        if sharing > 1:
            parts = [part.reshape(-1, sharing, *part.shape[1:]) for part in (means, variances, counts)]
            counts = parts[2].sum(1)
            means = (parts[0] * parts[2]).sum(1) / counts.clamp(min=1)
            squares = parts[1] + (parts[0] - means.unsqueeze(1)).square()
            variances = (squares * parts[2]).sum(1) / counts.clamp(min=1)
            own = ranks.rank // sharing
            mean, var = means[own], variances[own]
        number = counts.detach().reshape(-1, channels)[:, 0]
        every = Moments(means.detach().reshape(-1, channels), variances.detach().reshape(-1, channels), number)
        return cls(values, mean, var, number.unsqueeze(1), every)

    def normalized(self, output: Tensor) -> Normalized:
        """Return an output, (k, m, C, ...), as a batch, with the statistics of all chunks of the whole batch."""
        mean, var, count = self.every
        if isinstance(self.number, Tensor):
            unbiased = var * self.number / (self.number - 1).clamp(min=1)
        else:
            unbiased = var * (self.number / (self.number - 1))
        return Normalized(output.flatten(0, 1), mean, unbiased, count)


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
