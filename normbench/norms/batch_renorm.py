"""Batch renormalization."""

from typing import ClassVar, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.channels import scale_and_shift
from normbench.norms.moments import Chunks
from normbench.norms.statistics import BatchStatistics, Normalized


class Bounds(NamedTuple):
    """How far the corrections may go: r in [1/rmax, rmax], d in [-dmax, dmax]."""

    rmax: Tensor
    dmax: Tensor


@final
class BatchRenorm(BatchStatistics):
    r"""Normalise by the batch, corrected towards the running statistics that evaluation uses (Ioffe 2017).

    $$y = \left(\frac{x - \mu_B}{\sigma_B} * r + d\right) * \gamma + \beta, \quad
    r = clip_{[1/rmax, rmax]}\left(\frac{\sigma_B}{\sigma}\right), \quad
    d = clip_{[-dmax, dmax]}\left(\frac{\mu_B - \mu}{\sigma}\right)$$

    with deviations $\sigma_B = \sqrt{Var_B + \epsilon}$ of the biased variance. No gradient passes through r and d;
    mu and sigma are the running ones from before the step, for all its chunks. As in the paper and in Keras, sigma is
    a running average of deviations: ``running_var`` stores sigma^2 - eps, so that evaluation divides by sigma.

    The bounds widen with the step t: d is 0 and r is 1 up to `plain_steps`, then the bounds grow linearly and
    reach `dmax` at `dmax_steps` and `rmax` at `rmax_steps`. The defaults are a hundredth of the paper's 5,000,
    25,000 and 40,000 steps, because a study here has some thousand steps and not some hundred thousand.

    With each batch's own statistics it is batch norm: r = 1, d = 0.

    Args:
        num_features: Channels C.
        eps: Added to the variance, above 0.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        rmax: Bound of r at the end, at least 1.
        dmax: Bound of d at the end.
        plain_steps: Steps of plain batch norm.
        dmax_steps: Step from which d is bounded by `dmax`, not before `plain_steps`.
        rmax_steps: Step from which r is bounded by `rmax`, not before `plain_steps`.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ConfigError: If `eps` is not above 0, or a bound would be reached before `plain_steps`.
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value.
    """

    # No gradient passes through d, so a bias before the norm would stay at its initial zero.
    removes_channel_mean: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        affine: bool = True,
        rmax: float = 3.0,
        dmax: float = 5.0,
        plain_steps: int = 50,
        dmax_steps: int = 250,
        rmax_steps: int = 400,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        if eps <= 0:
            raise ConfigError(f"norm.eps: got {eps}, expected a number above 0 for batch renorm.")
        if min(dmax_steps, rmax_steps) < plain_steps:
            raise ConfigError(
                f"norm.plain_steps: got {plain_steps}, expected at most norm.dmax_steps={dmax_steps} and "
                f"norm.rmax_steps={rmax_steps}."
            )
        self.eps = eps
        self.rmax, self.dmax = rmax, dmax
        self.plain_steps, self.dmax_steps, self.rmax_steps = plain_steps, dmax_steps, rmax_steps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_training(self, x: Tensor) -> Tensor:
        """Normalise by the batch with the corrections, and update the buffers."""
        assert self.running_mean is not None and self.running_var is not None
        chunks = Chunks.of(x, self.norm_batch_size, self.ranks, self.valid)
        with torch.no_grad():
            rows = -1, self.num_features
            mean = chunks.mean.view(rows)
            deviation = torch.sqrt(chunks.var.view(rows) + self.eps)
            sigma = torch.sqrt(self.running_var + self.eps)
            bounds = self.bounds(len(chunks.every.mean), like=sigma)
            r = torch.clamp(deviation / sigma, 1 / bounds.rmax, bounds.rmax).view_as(chunks.mean)
            d = torch.clamp((mean - self.running_mean) / sigma, -bounds.dmax, bounds.dmax).view_as(chunks.mean)
            self.average(
                (self.running_mean, chunks.every.mean),
                (sigma, torch.sqrt(chunks.every.var + self.eps)),
                count=chunks.every.counts,
            )
            # For a channel that never varies, rounding could give a variance just below 0.
            self.running_var.copy_(torch.clamp(sigma.square() - self.eps, min=0))
        output = self._standard(chunks) * r + d
        return scale_and_shift(output.flatten(0, 1), self.weight, self.bias)

    def bounds(self, chunks: int, *, like: Tensor) -> Bounds:
        """Return the bounds of the next step, with `chunks` chunks, as tensors () like `like`."""
        assert self.num_batches_tracked is not None
        step = (self.num_batches_tracked // chunks).to(like.dtype)

        def grown(last: int) -> Tensor:
            if last == self.plain_steps:
                return (step >= last).to(like.dtype)
            return torch.clamp((step - self.plain_steps) / (last - self.plain_steps), 0, 1)

        return Bounds(rmax=1 + (self.rmax - 1) * grown(self.rmax_steps), dmax=self.dmax * grown(self.dmax_steps))

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each chunk by its own statistics, without corrections."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized(self._standard(chunks))
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _standard(self, chunks: Chunks) -> Tensor:
        return (chunks.values - chunks.mean) * torch.rsqrt(chunks.var + self.eps)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"rmax={self.rmax}, dmax={self.dmax}, plain_steps={self.plain_steps}, dmax_steps={self.dmax_steps}, "
            f"rmax_steps={self.rmax_steps}, norm_batch_size={self.norm_batch_size}"
        )
