"""Switchable normalization."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.norms.channels import over_positions, refuse_single_positions, scale_and_shift
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized

_KINDS = 3


@final
class SwitchableNorm(BatchStatistics):
    r"""Normalise by a learnt mix of instance, layer and batch statistics (Luo et al. 2019).

    $$y = \frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma_k^2 + \epsilon}} * \gamma + \beta, \quad
    w = softmax(\lambda), \quad w' = softmax(\lambda')$$

    with k over instance (H, W), layer (C, H, W) and batch (N, H, W), all variances biased. Evaluation uses running
    statistics, with unbiased variance, for the batch's.

    Args:
        num_features: Channels C.
        eps: Added to the variance; above 0, or no gradient would pass for constant maps.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        norm_batch_size: Samples that batch statistics are taken over in training; None takes the whole batch.

    Attributes:
        mean_logits: lambda, (3,), all 1 at first.
        var_logits: lambda', (3,), all 1 at first.

    Shape:
        (N, C, ...) to the same, with at least two positions.

    Raises:
        ImpossibleRunError: In forward on (N, C) or 1x1 maps.
    """

    # The layer statistics keep differences between channels.
    removes_channel_mean: ClassVar[bool] = False
    needs_positions: ClassVar[bool] = True

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
        self.mean_logits = nn.Parameter(torch.ones(_KINDS))
        self.var_logits = nn.Parameter(torch.ones(_KINDS))
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each chunk with its own statistics in the mix."""
        refuse_single_positions(x, "switchable norm")
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized(self._mixed(chunks.values, chunks.mean, chunks.var))
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise with the running statistics in the mix."""
        assert self.running_mean is not None and self.running_var is not None
        refuse_single_positions(x, "switchable norm")
        output = self._mixed(x[None], over_positions(self.running_mean, x), over_positions(self.running_var, x))
        return scale_and_shift(output[0], self.weight, self.bias)

    def _mixed(self, x: Tensor, batch_mean: Tensor, batch_var: Tensor) -> Tensor:
        """Normalise chunks (k, m, C, ...) with these batch statistics in the mix."""
        positions = list(range(3, x.ndim))
        instance_var, instance_mean = torch.var_mean(x, positions, correction=0, keepdim=True)
        # Computed from x: from the instances' moments it would be a difference of large numbers.
        layer_var, layer_mean = torch.var_mean(x, [2, *positions], correction=0, keepdim=True)
        a, b = self.mean_logits.softmax(0), self.var_logits.softmax(0)
        mean = a[0] * instance_mean + a[1] * layer_mean + a[2] * batch_mean
        var = b[0] * instance_var + b[1] * layer_var + b[2] * batch_var
        return (x - mean) * torch.rsqrt(var + self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"norm_batch_size={self.norm_batch_size}"
        )
