"""Mean and variance of each chunk of a batch, differentiable."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from normbench.norms.ghost import checked_chunks
from normbench.norms.statistics import Normalized


class Chunks(NamedTuple):
    """A batch cut into k chunks of m consecutive samples, with the statistics of each.

    Attributes:
        values: The batch, (k, m, C, ...).
        mean: Mean of each chunk and channel, (k, 1, C, 1, ...).
        var: Biased variance of the same.
    """

    values: Tensor
    mean: Tensor
    var: Tensor

    @classmethod
    def of(cls, x: Tensor, norm_batch_size: int | None) -> Self:
        """Cut x, (N, C, ...), into chunks of `norm_batch_size` samples; None takes the whole batch as one.

        Raises:
            ImpossibleRunError: If `norm_batch_size` does not divide the batch, or a channel has a single value.
        """
        values = x.reshape(checked_chunks(x, norm_batch_size), -1, *x.shape[1:])
        var, mean = torch.var_mean(values, [1, *range(3, values.ndim)], correction=0, keepdim=True)
        return cls(values, mean, var)

    def normalized(self, output: Tensor) -> Normalized:
        """Return an output, (k, m, C, ...), as a batch, with the statistics used to normalise it."""
        rows = self.mean.shape[0], self.mean.shape[2]
        count = self.values.numel() // self.mean.numel()
        unbiased = self.var.detach().view(rows) * (count / (count - 1))
        return Normalized(output.flatten(0, 1), self.mean.detach().view(rows), unbiased)
