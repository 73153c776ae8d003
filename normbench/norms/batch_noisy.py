"""Batch normalization followed by noise that disturbs the distributions."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.channels import over_positions, scale_and_shift
from normbench.norms.counted_noise import normal, uniform
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class BatchNoisy(BatchStatistics):
    r"""Batch norm, then noise whose mean and variance change at every step (Santurkar et al. 2018, appendix A).

    $$y_{ij} = s_{ij} * BN(x)_{ij} + m_{ij}, \quad m_{ij} \sim U(\mu_j - r_\mu, \mu_j + r_\mu), \quad
    s_{ij} \sim N(\sigma_j, r_\sigma^2), \quad \mu_j \sim U(-n_\mu, n_\mu), \quad \sigma_j \sim U(1, n_\sigma)$$

    for sample i and channel j, all redrawn at each training step; gamma and beta are inside BN. The positions of a map
    share the noise of their channel, which shifts the channel's distribution. Evaluation has no noise.

    The noise is a hash (`counted_noise`) of the buffer ``seed`` and the step count. The seed is drawn when the layer is
    constructed, from torch's global generator, which is seeded by the run.

    Args:
        num_features: Channels C.
        eps: Added to the variance, above 0.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        shift: n_mu, the largest mean of a channel's shifts.
        scale: n_sigma, the largest mean of a channel's factors, at least 1.
        shift_spread: r_mu, the largest distance of a sample's shift from the mean.
        scale_spread: r_sigma, the standard deviation of the samples' factors.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ConfigError: If `eps` is not above 0.
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value.
    """

    # The noise is added after the mean is removed.
    removes_channel_mean: ClassVar[bool] = True

    seed: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        shift: float = 0.5,
        scale: float = 1.25,
        shift_spread: float = 0.1,
        scale_spread: float = 0.1,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        if eps <= 0:
            raise ConfigError(f"norm.eps: got {eps}, expected a number above 0 for batch norm.")
        self.eps = eps
        self.shift, self.scale = shift, scale
        self.shift_spread, self.scale_spread = shift_spread, scale_spread
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("seed", torch.randint(2**32, ()))

    def by_training(self, x: Tensor) -> Tensor:
        """Normalise by the batch, update the buffers and add noise."""
        # Drawn before the step is counted, for the whole batch.
        factors, shifts = self.noise(x.shape[0] * self.ranks.size, x.dtype)
        return _with((self.ranks.rows(factors), self.ranks.rows(shifts)), super().by_training(x))

    def disturbed(self, y: Tensor, later: int) -> Tensor:
        """Add the noise of a step of training, as that step draws it."""
        assert self.num_batches_tracked is not None
        return _with(self.noise(y.shape[0], y.dtype, self.num_batches_tracked + later), y)

    @torch.no_grad()
    def noise(self, samples: int, dtype: torch.dtype, count: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return factors and shifts, (N, C) each, of the step after `count` others; None takes the next step."""
        assert self.num_batches_tracked is not None
        channels, each = (self.num_features,), (samples, self.num_features)
        # A copy: the count increases before the noise is used.
        key = self.seed, self.num_batches_tracked.clone() if count is None else count
        mean_shift = self.shift * (2 * uniform(*key, 0, channels, dtype) - 1)
        mean_factor = 1 + (self.scale - 1) * uniform(*key, 1, channels, dtype)
        shifts = mean_shift + self.shift_spread * (2 * uniform(*key, 2, each, dtype) - 1)
        factors = mean_factor + self.scale_spread * normal(*key, 3, each, dtype)
        return factors, shifts

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each chunk by its own statistics, without noise."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        standard = (chunks.values - chunks.mean) * torch.rsqrt(chunks.var + self.eps)
        found = chunks.normalized(standard)
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics, without noise."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"shift={self.shift}, scale={self.scale}, shift_spread={self.shift_spread}, "
            f"scale_spread={self.scale_spread}, norm_batch_size={self.norm_batch_size}"
        )


def _with(noise: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    factors, shifts = noise
    return y * over_positions(factors, y) + over_positions(shifts, y)
