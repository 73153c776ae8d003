"""EvoNorm-B0: normalization and activation in one layer, with batch and instance statistics."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import over_positions, refuse_single_positions, scale_and_shift
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class EvoNormB0(BatchStatistics):
    r"""Divide by the larger of a batch deviation and a shifted instance deviation (Liu et al. 2020).

    $$y = \frac{x}{\max\left(\sqrt{Var_{N,H,W}[x] + \epsilon},\; v x + \sqrt{Var_{H,W}[x] + \epsilon}\right)} * \gamma
    + \beta$$

    Both variances are biased; the running variance, which evaluation uses for the batch's, is unbiased. The activation
    is included: a model adds none after it. The running mean is used only for pooling.

    Args:
        num_features: Channels C.
        eps: Added to the variances.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.
        activated: False gives gamma x + beta, as the authors do without an activation.

    Attributes:
        v: Learnt for each channel, (C,), 1 at first; None if not activated.

    Shape:
        (N, C, ...) to the same, with at least two positions.

    Raises:
        ImpossibleRunError: In forward on (N, C) or 1x1 maps.
    """

    removes_channel_mean: ClassVar[bool] = False
    needs_positions: ClassVar[bool] = True
    includes_activation: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        norm_batch_size: int | None = None,
        activated: bool = True,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.v = nn.Parameter(torch.ones(num_features)) if activated else None

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise and activate each chunk by its own variance."""
        refuse_single_positions(x, "EvoNorm-B0")
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        return chunks.normalized(
            self._divided(chunks.values.flatten(0, 1), self._spread(chunks)).view_as(chunks.values)
        )

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise and activate by the running variance."""
        assert self.running_var is not None
        refuse_single_positions(x, "EvoNorm-B0")
        return self._divided(x, over_positions(self.running_var, x))

    def _spread(self, chunks: Chunks) -> Tensor:
        """Return the variance of each sample's chunk, (N, C, 1, ...)."""
        samples = chunks.values.shape[1]
        return chunks.var.expand(-1, samples, *chunks.var.shape[2:]).flatten(0, 1)

    def _divided(self, x: Tensor, var: Tensor) -> Tensor:
        if self.v is not None:
            instance = x.var(list(range(2, x.ndim)), correction=0, keepdim=True)
            shifted = over_positions(self.v, x) * x + torch.sqrt(instance + self.eps)
            x = x / torch.maximum(torch.sqrt(var + self.eps), shifted)
        return scale_and_shift(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, activated={self.v is not None}, "
            f"norm_batch_size={self.norm_batch_size}"
        )
