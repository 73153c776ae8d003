"""Half of batch normalization: only its mean, or only its variance."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import over_positions, scale_and_shift
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class BatchMeanOnly(BatchStatistics):
    r"""Subtract each channel's mean over samples and positions, keep its variance (Salimans & Kingma 2016).

    $$y = (x - E_{N,H,W}[x]) * \gamma + \beta$$

    Salimans & Kingma use it with weight normalization and without gamma; here it differs from `batch` only by the
    missing division. The running variance is stored, but only probes read it.

    Args:
        num_features: Channels C.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value.
    """

    removes_channel_mean: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float | None = 0.1,
        affine: bool = True,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Centre each chunk by its own mean."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized(chunks.values - chunks.mean)
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Centre by the running mean."""
        assert self.running_mean is not None
        return scale_and_shift(x - over_positions(self.running_mean, x), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"norm_batch_size={self.norm_batch_size}"
        )


@final
class BatchVarOnly(BatchStatistics):
    r"""Divide each channel by its standard deviation over samples and positions, keep its mean.

    $$y = \frac{x}{\sqrt{Var_{N,H,W}[x] + \epsilon}} * \gamma + \beta$$

    The variance is about the mean, as in `batch`; it differs from `batch` only by the missing subtraction.

    Args:
        num_features: Channels C.
        eps: Added to the variance.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value.
    """

    removes_channel_mean: ClassVar[bool] = False

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Divide each chunk by its own deviation."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized(chunks.values * torch.rsqrt(chunks.var + self.eps))
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Divide by the running deviation."""
        assert self.running_var is not None
        scale = torch.rsqrt(self.running_var + self.eps)
        return scale_and_shift(x * over_positions(scale, x), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"norm_batch_size={self.norm_batch_size}"
        )
