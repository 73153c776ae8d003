"""Batch normalization whose statistics are frozen after some steps."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.channels import over_positions, scale_and_shift
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class BatchFrozen(BatchStatistics):
    r"""Train as batch norm for some steps, then normalise by constants (Wu & Johnson 2021, FrozenBN).

    $$y = \frac{x - \mu}{\sqrt{v + \epsilon}} * \gamma + \beta$$

    In the first `freeze_step` steps mu and v are those of the batch, as in `batch`. Afterwards they are the running
    statistics at that step: no gradient passes through them, nothing updates them, samples no longer affect each other,
    and training computes the same as evaluation. With `freeze_step` 0 they are 0 and 1, and only gamma and beta act.

    Args:
        num_features: Channels C.
        eps: Added to the variance, above 0.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        freeze_step: Steps with batch statistics.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ConfigError: If `eps` is not above 0.
        ImpossibleRunError: In training, if a channel has a single value, frozen or not.
    """

    # Before freezing, a bias has no gradient except rounding; afterwards beta has the effect of such a bias.
    removes_channel_mean: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        freeze_step: int = 100,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        if eps <= 0:
            raise ConfigError(f"norm.eps: got {eps}, expected a number above 0 for batch norm.")
        self.eps = eps
        self.freeze_step = freeze_step
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_training(self, x: Tensor) -> Tensor:
        """Normalise by the batch and update the buffers; once frozen, normalise by the buffers."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        chunks = Chunks.of(x, self.norm_batch_size, self.ranks, self.valid)
        # Selected by a tensor: a stack of runs has no single step to branch on.
        frozen = self.num_batches_tracked >= self.freeze_step * len(chunks.every.mean)
        mean = torch.where(frozen, over_positions(self.running_mean, x), chunks.mean)
        var = torch.where(frozen, over_positions(self.running_var, x), chunks.var)
        normalized = chunks.normalized((chunks.values - mean) * torch.rsqrt(var + self.eps))
        buffers = self.running_mean, self.running_var, self.num_batches_tracked
        before = [buffer.clone() for buffer in buffers]
        self.update_running(normalized.mean, normalized.var, normalized.counts)
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(torch.where(frozen, old, buffer))
        return scale_and_shift(normalized.output, self.weight, self.bias)

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each chunk by its own statistics."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        standard = (chunks.values - chunks.mean) * torch.rsqrt(chunks.var + self.eps)
        found = chunks.normalized(standard)
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"freeze_step={self.freeze_step}, norm_batch_size={self.norm_batch_size}"
        )
