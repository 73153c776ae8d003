"""Power normalization."""

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.norms.channels import over_positions, scale_and_shift
from normbench.norms.moments import Chunks, ranks_of_a_chunk
from normbench.norms.power_gradient import PowerGradient, normalized
from normbench.norms.statistics import BatchStatistics, Normalized


@final
class PowerNorm(BatchStatistics):
    r"""Divide each channel by its running quadratic mean, in training too, and keep its mean (Shen et al. 2020).

    $$y = \frac{x}{\sqrt{\psi^2 + \epsilon}} * \gamma + \beta, \quad
    \psi^2 \leftarrow (1 - a) \psi^2 + a E_{N,H,W}[x^2]$$

    with the $\psi^2$ from before the step, for all its chunks, and a = `momentum` (the paper's $1 - \alpha$). The
    gradient is the approximation of the paper's algorithm 2; `PowerGradient` has its formulas. Its running statistic
    nu of the gradient is the buffer ``running_gradient``, and $\psi^2$ is ``running_square``.

    Up to `plain_steps` the batch's own quadratic mean divides, and the gradient is exact (the paper's PN-V), so that
    the running statistics no longer depend on their first values, 1 and 0. The default is a hundredth of the 10,000
    steps of the authors' code, because a study here has some thousand steps.

    The authors' code has two more parts that are not in the paper's algorithm and not here: it divides each position by
    the root mean square of its channels before the norm, which is another norm, and it differs in the backward pass
    (the batch's quadratic mean divides, and nu has another weight).

    With each batch's own statistics it divides by the batch's quadratic mean.

    Args:
        num_features: Channels C.
        eps: Added to the quadratic mean, above 0.
        momentum: Weight of the newest statistics in the running ones; None averages all of them equally.
        affine: Whether to learn gamma (``weight``, 1 at first) and beta (``bias``, 0 at first) for each channel.
        plain_steps: Steps with the batch's own quadratic mean.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Shape:
        (N, C) or (N, C, ...) to the same.

    Raises:
        ConfigError: If `eps` is not above 0.
        ImpossibleRunError: In a forward with batch statistics, if a channel has a single value.
    """

    removes_channel_mean: ClassVar[bool] = False
    gradient_statistics: ClassVar[bool] = True

    running_square: Tensor
    running_gradient: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        plain_steps: int = 100,
        norm_batch_size: int | None = None,
    ) -> None:
        super().__init__(num_features, momentum=momentum, track_running_stats=True, norm_batch_size=norm_batch_size)
        if eps <= 0:
            raise ConfigError(f"norm.eps: got {eps}, expected a number above 0 for power norm.")
        self.eps = eps
        self.plain_steps = plain_steps
        self.register_buffer("running_square", torch.ones(num_features))
        self.register_buffer("running_gradient", torch.zeros(num_features))
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def by_training(self, x: Tensor) -> Tensor:
        """Divide by the running quadratic mean, or at first by the batch's, and update the buffers."""
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        with torch.no_grad():
            chunks = Chunks.of(x, self.norm_batch_size, self.ranks, self.valid)
            count = len(chunks.every.mean)
            plain = self.num_batches_tracked // count < self.plain_steps
            square = torch.where(plain, _square(chunks), over_positions(self.running_square, x))
            scale = torch.rsqrt(square + self.eps)
            shares = self._shares(count, like=scale)
            _, mean, var, valid = chunks.normalized(chunks.values)
            every = chunks.every.var + chunks.every.mean.square()
            running = (self.running_mean, mean), (self.running_var, var), (self.running_square, every)
            self.average(*running, count=valid)
            share = torch.ones_like(shares)
            if valid is not None:
                shares = shares * (valid >= 2)
                share = valid / (x.shape[0] * self.ranks.size * math.prod(x.shape[2:]) / count)
        state = scale, plain, shares, share, self.running_gradient.clone(), self.running_gradient
        if self.valid is not None:
            x = torch.where(self.valid.unsqueeze(1), x, 0)
        values = x.reshape(chunks.values.shape)
        if self.ranks.size > 1:
            sharing = ranks_of_a_chunk(len(x), self.norm_batch_size, self.ranks)
            standard: Tensor = PowerGradient.apply(values, *state, self.ranks, sharing)
        else:
            standard = normalized(values, *state)
        return scale_and_shift(standard.flatten(0, 1), self.weight, self.bias)

    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Divide each chunk by its own quadratic mean."""
        chunks = Chunks.of(x, norm_batch_size, self.ranks, self.valid)
        found = chunks.normalized(chunks.values * torch.rsqrt(_square(chunks) + self.eps))
        return found._replace(output=scale_and_shift(found.output, self.weight, self.bias))

    def by_running(self, x: Tensor) -> Tensor:
        """Divide by the running quadratic mean."""
        scale = torch.rsqrt(self.running_square + self.eps)
        return scale_and_shift(x * over_positions(scale, x), self.weight, self.bias)

    @torch.no_grad()
    def pooled(self, count: int | Tensor) -> None:
        """Set the running quadratic mean to that of all `count` values per channel."""
        assert self.running_mean is not None and self.running_var is not None
        self.running_square.copy_(self.running_mean.square() + self.running_var * ((count - 1) / count))

    def _shares(self, count: int, *, like: Tensor) -> Tensor:
        """Return the weight of each of the next `count` chunks in the running statistics, (count,)."""
        if self.momentum is not None:
            return like.new_full((count,), self.momentum)
        assert self.num_batches_tracked is not None
        return 1 / (self.num_batches_tracked + torch.arange(1, count + 1, device=like.device)).to(like.dtype)

    def extra_repr(self) -> str:
        """Return the arguments, as `print(model)` shows them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"plain_steps={self.plain_steps}, norm_batch_size={self.norm_batch_size}"
        )


def _square(chunks: Chunks) -> Tensor:
    """Return the quadratic mean of each chunk and channel, (k, 1, C, 1, ...)."""
    return chunks.var + chunks.mean.square()
