"""Batch normalization, over the whole batch or over ghost batches."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.channels import scale_and_shift
from normbench.norms.ghost import channels_to_chunks, checked_chunks, chunks_to_channels
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class BatchNorm(BatchStatistics):
    r"""Normalise each channel over samples and positions (Ioffe & Szegedy 2015).

    $$y = \frac{x - E_{N,H,W}[x]}{\sqrt{Var_{N,H,W}[x] + \epsilon}} * \gamma + \beta$$

    As in torch, normalisation uses the biased variance, the running variance is unbiased, and `momentum` weights the
    new value. With `norm_batch_size` m, samples 0..m-1, m..2m-1, ... are normalised separately (ghost batches, Hoffer
    et al. 2017), and the running statistics take one step per chunk, in order. m = N is bit for bit m = None.

    Args:
        num_features: Channels C.
        eps: Added to the variance, above 0.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        track_running_stats: Whether evaluation uses running statistics; otherwise it uses those of its whole batch.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ConfigError: If `eps` is not above 0 or `norm_batch_size` below 1.
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value or `norm_batch_size`
            does not divide the batch.
    """

    removes_channel_mean: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(
            num_features, momentum=momentum, track_running_stats=track_running_stats, norm_batch_size=norm_batch_size
        )
        if eps <= 0:
            raise ConfigError(f"norm.eps: got {eps}, expected a number above 0 for batch norm.")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_training(self, x: Tensor) -> Tensor:
        """Normalise as in training: one fused call unless there are chunks, ranks, padding or a cumulative average."""
        if self.ranks.size > 1 or self.valid is not None:
            return super().by_training(x)
        cumulative = self.momentum is None and self.running_mean is not None
        if cumulative or checked_chunks(x, self.norm_batch_size) > 1:
            return super().by_training(x)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each chunk by its own statistics; chunks become channels, so one call handles all."""
        if self.ranks.size > 1 or self.valid is not None:
            return self._by_moments(x, norm_batch_size)
        chunks = checked_chunks(x, norm_batch_size)
        channels = x.shape[1]
        # Momentum 1 makes the "running" statistics of the call the chunks' own.
        dtype = x.dtype if self.running_mean is None else self.running_mean.dtype
        mean = x.new_zeros(chunks * channels, dtype=dtype)
        var = x.new_zeros(chunks * channels, dtype=dtype)
        wide = x if chunks == 1 else chunks_to_channels(x, chunks)
        weight = _repeated(self.weight, chunks)
        bias = _repeated(self.bias, chunks)
        y = F.batch_norm(wide, mean, var, weight, bias, True, 1.0, self.eps)
        output = y if chunks == 1 else channels_to_chunks(y, chunks)
        return Normalized(output, mean.view(chunks, channels), var.view(chunks, channels))

    def _by_moments(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized((chunks.values - chunks.mean) * torch.rsqrt(chunks.var + self.eps))
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}, norm_batch_size={self.norm_batch_size}"
        )


def _repeated(parameter: Tensor | None, chunks: int) -> Tensor | None:
    return parameter if parameter is None or chunks == 1 else parameter.repeat(chunks)
