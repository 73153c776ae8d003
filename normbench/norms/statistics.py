"""The statistics that a norm with batch statistics uses: running, its own batch's, or pooled ones.

During evaluation a model stays in ``eval()``, so that dropout is off, and a context manager sets what its norms use:

    model.eval()
    model(x)                              # running statistics
    with own_batch(model, 4): model(x)    # each 4 samples with their own statistics; no buffer is changed
    with pooling(model): ...              # each x with its own statistics, pooled into the buffers over all x
    model(x)                              # the pooled statistics, until the caller restores the buffers

In a data-parallel run, a step of training is `with sharing(model, ranks): model(x)`, x being a rank's rows: statistics
are those of the whole batch or of its ghost batches. Evaluations are whole on every rank.

The contexts set a plain attribute of each module. So they also work through `torch.func.functional_call` and under
`torch.func.vmap`, if applied to the module that is called.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class OwnBatch:
    """Normalise by the statistics of each `norm_batch_size` samples (None: of the whole batch); change no buffer.

    Attributes:
        norm_batch_size: Samples that share statistics.
        noise: Add the noise of training, if the norm has any, of the step this far from the next one; None adds none.
    """

    norm_batch_size: int | None
    noise: int | None = None


@dataclass(slots=True)
class Pooling:
    """Normalise by the whole batch's statistics and pool them; `count` values per channel are pooled so far."""

    count: int = 0


class Normalized(NamedTuple):
    """The result of normalising k chunks by their own statistics.

    Attributes:
        output: Shape of the input, (N, C, ...).
        mean: Mean of each chunk and channel, (k, C).
        var: Unbiased variance of each chunk and channel, (k, C).
        counts: Valid values per channel of each chunk, (k,); None if all are valid.
    """

    output: Tensor
    mean: Tensor
    var: Tensor
    counts: Tensor | None = None


class BatchStatistics(nn.Module, ABC):
    """Base of norms with statistics over samples: it selects the statistics, final subclasses normalise by them.

    A subclass implements `by_batch` and `by_running`, and overrides `by_training` if training needs more than
    `by_batch` and `update_running`. Then `own_batch`, `pooling`, ghost batches and running statistics work.

    Buffers, all absent (None) without `track_running_stats`: ``running_mean`` and ``running_var`` (C,), the variance
    unbiased as torch stores it, and ``num_batches_tracked``, a scalar that counts chunks.

    Args:
        num_features: Channels C.
        momentum: Weight a of the newest chunk, r <- (1 - a) r + a s; None averages all chunks equally.
        track_running_stats: Whether there are running statistics; otherwise evaluation uses the batch's own.
        norm_batch_size: Samples that statistics are taken over in training; None takes the whole batch.

    Attributes:
        statistics: Set by the contexts of this Python module; None uses running statistics in ``eval()`` and trains in
            ``train()``.
        ranks: Set by `sharing`: the processes that each train on some rows of the batch.
        valid: Which positions are no padding, (N, ...), during a forward pass that is told so; otherwise None.

    Raises:
        ConfigError: If `norm_batch_size` is below 1.
    """

    batch_statistics: ClassVar[bool] = True
    gradient_statistics: ClassVar[bool] = False
    removes_channel_mean: ClassVar[bool]

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, *, momentum: float | None, track_running_stats: bool, norm_batch_size: int | None
    ) -> None:
        super().__init__()
        if norm_batch_size is not None and norm_batch_size < 1:
            raise ConfigError(f"norm_batch_size: got {norm_batch_size}, expected an integer of at least 1 or null.")
        self.num_features = num_features
        self.momentum = momentum
        self.norm_batch_size = norm_batch_size
        self.statistics: OwnBatch | Pooling | None = None
        self.ranks = ALONE
        self.valid: Tensor | None = None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_features) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long) if tracked else None)

    @abstractmethod
    def by_batch(self, x: Tensor, norm_batch_size: int | None) -> Normalized:
        """Normalise each `norm_batch_size` samples of x (N, C, ...) by their own statistics; change no buffer."""

    @abstractmethod
    def by_running(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, ...) by the running statistics."""

    def by_training(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, ...) as in training, and update the buffers."""
        output, mean, var, count = self.by_batch(x, self.norm_batch_size)
        self.update_running(mean, var, count)
        return output

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise x by the statistics that `statistics` and the mode of the module select.

        Args:
            x: (N, C, ...).
            valid: (N, ...) bool without the channels: which positions are no padding, and enter statistics. None if
                all do. Of features, (N, C), a chunk of fewer than two valid samples is normalised by the running
                statistics, and does not change them.
        """
        if valid is None:
            return self._selected(x)
        self.valid = valid
        try:
            if x.ndim == 2 and self.running_mean is not None and (self.training or self.statistics is not None):
                return self._if_enough(x, valid)
            return self._selected(x)
        finally:
            self.valid = None

    def _if_enough(self, x: Tensor, valid: Tensor) -> Tensor:
        """Normalise features x (N, C), and by running statistics where a chunk has fewer than two valid samples."""
        by_running = self._by_running_apart(x)
        selected = self._selected(x)
        if isinstance(self.statistics, Pooling):
            size, ranks = None, ALONE
        elif isinstance(self.statistics, OwnBatch):
            size, ranks = self.statistics.norm_batch_size, ALONE
        else:
            size, ranks = self.norm_batch_size, self.ranks
        rows = size or len(x) * ranks.size
        whole = ranks.each(valid.long()).flatten() if ranks.size > 1 else valid.long()
        enough = (whole.reshape(-1, rows).sum(1) >= 2).repeat_interleave(rows)
        return torch.where(ranks.rows(enough).unsqueeze(1), selected, by_running)

    def _by_running_apart(self, x: Tensor) -> Tensor:
        """Normalise by a copy of the running statistics, which may change before the backward pass."""
        kept = self.running_mean, self.running_var
        assert kept[0] is not None and kept[1] is not None
        self.running_mean, self.running_var = kept[0].clone(), kept[1].clone()
        try:
            return self.by_running(x)
        finally:
            self.running_mean, self.running_var = kept

    def _selected(self, x: Tensor) -> Tensor:
        if isinstance(self.statistics, OwnBatch):
            output = self.by_batch(x, self.statistics.norm_batch_size).output
            return output if self.statistics.noise is None else self.disturbed(output, self.statistics.noise)
        if isinstance(self.statistics, Pooling):
            return self._by_pooling(x, self.statistics)
        if self.training:
            return self.by_training(x)
        if self.running_mean is None:
            return self.by_batch(x, None).output
        return self.by_running(x)

    def pooled(self, count: int | Tensor) -> None:
        """Update further buffers, if there are any, from the statistics pooled so far of `count` values per channel."""

    def disturbed(self, y: Tensor, later: int) -> Tensor:
        """Return an output with the noise of a step of training; a norm without noise returns it unchanged.

        Args:
            y: The output without noise, (N, C, ...).
            later: 0 for the noise of the next step, -1 for that of the last one.
        """
        return y

    @torch.no_grad()
    def update_running(self, mean: Tensor, var: Tensor, count: Tensor | None = None) -> None:
        """Update the running statistics as k successive steps of one chunk would, in closed form.

        With a = `momentum`, ``r <- (1 - a)^k r + sum_i a (1 - a)^(k-1-i) s_i``; with `momentum` None and t chunks
        before, ``r <- (t r + sum_i s_i) / (t + k)``, where t stays a tensor: ``.item()`` would break vmap.

        Args:
            mean: (k, C).
            var: Unbiased, (k, C).
            count: Valid values of each chunk, (k,); chunks with fewer than two change nothing. None if all are valid.
        """
        if self.running_mean is not None and self.running_var is not None:
            self.average((self.running_mean, mean), (self.running_var, var), count=count)

    @torch.no_grad()
    def average(self, *pairs: tuple[Tensor, Tensor], count: Tensor | None = None) -> None:
        """Count k chunks, and update each pair's running values (C,) in place with its new values (k, C).

        Args:
            *pairs: Running and new values.
            count: Valid values of each chunk, as for `update_running`.
        """
        assert self.num_batches_tracked is not None
        like = pairs[0][1]
        if count is not None:
            return self._average_enough(pairs, (count >= 2).to(like.dtype))
        chunks = like.shape[0]
        self.num_batches_tracked.add_(chunks)
        if self.momentum is None:
            # Divided in the statistics' own dtype: an integer tensor would give float32.
            share = chunks / self.num_batches_tracked.to(like.dtype)
            for running, new in pairs:
                running.add_((new.mean(0) - running) * share)
            return
        keep = 1 - self.momentum
        weights = self.momentum * keep ** torch.arange(chunks - 1, -1, -1, dtype=like.dtype, device=like.device)
        for running, new in pairs:
            running.mul_(keep**chunks).add_(weights @ new)

    def _average_enough(self, pairs: Sequence[tuple[Tensor, Tensor]], taken: Tensor) -> None:
        """Update as `average` does, but only with the chunks whose `taken`, (k,), is 1 and not 0."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(taken.sum().long())
        if self.momentum is None:
            share = taken / self.num_batches_tracked.clamp(min=1).to(taken.dtype)
            for running, new in pairs:
                running.add_(share @ (new - running))
            return
        keep = 1 - self.momentum * taken
        later = torch.cat((keep.flip(0).cumprod(0).flip(0)[1:], torch.ones_like(keep[:1])))
        for running, new in pairs:
            running.mul_(keep.prod()).add_((self.momentum * taken * later) @ new)

    def _by_pooling(self, x: Tensor, pool: Pooling) -> Tensor:
        output, mean, var, number = self.by_batch(x, None)
        if self.running_mean is not None and self.running_var is not None:
            if number is not None:
                self._pool_valid(pool, mean[0], var[0], number[0])
                return output
            count = x.numel() // x.shape[1]
            pool_moments(self.running_mean, self.running_var, pool.count, mean[0], var[0], count=count)
            pool.count += count
            self.pooled(pool.count)
        return output

    def _pool_valid(self, pool: Pooling, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Pool the moments of `count` valid values, a tensor: stacked runs differ in it.

        ``num_batches_tracked`` counts the values meanwhile; the caller restores it with the other buffers. Values too
        few for a mean or a variance leave the running one.
        """
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        if pool.count == 0:
            self.num_batches_tracked.zero_()
        pool.count += 1
        before = self.num_batches_tracked.to(mean.dtype)
        pooled_mean, pooled_var = self.running_mean.clone(), self.running_var.clone()
        merge_moments(pooled_mean, pooled_var, before, mean, var, count)
        total = before + count
        self.running_mean.copy_(torch.where(total >= 1, pooled_mean, self.running_mean))
        self.running_var.copy_(torch.where(total >= 2, pooled_var, self.running_var))
        self.num_batches_tracked.copy_(total.long())
        self.pooled(total.clamp(min=1))


@torch.no_grad()
def pool_moments(mean_a: Tensor, var_a: Tensor, count_a: int, mean_b: Tensor, var_b: Tensor, *, count: int) -> None:
    """Merge the moments of `count` more values into `mean_a` and `var_a` in place (Chan, Golub & LeVeque 1979).

    With d = mean_b - mean_a and n = n_a + n_b: mean = mean_a + d n_b / n and
    (n - 1) var = (n_a - 1) var_a + (n_b - 1) var_b + d^2 n_a n_b / n. The last term is the variance between the
    parts, which an average of variances would lack; E[x^2] - E[x]^2 would suffer from cancellation.

    Args:
        mean_a: Mean of the values so far, (C,); arbitrary if `count_a` is 0.
        var_a: Unbiased variance of the values so far, (C,); arbitrary if `count_a` is 0.
        count_a: n_a, values per channel so far.
        mean_b: Mean of the new values, (C,).
        var_b: Unbiased variance of the new values, (C,).
        count: n_b, new values per channel.
    """
    if count_a == 0:
        mean_a.copy_(mean_b)
        var_a.copy_(var_b)
        return
    total = count_a + count
    delta = mean_b - mean_a
    squares = var_a * (count_a - 1) + var_b * (count - 1) + delta.square() * (count_a * count / total)
    mean_a.add_(delta * (count / total))
    var_a.copy_(squares / (total - 1))


def merge_moments(
    mean_a: Tensor, var_a: Tensor, count_a: Tensor, mean_b: Tensor, var_b: Tensor, count_b: Tensor
) -> None:
    """Merge moments as `pool_moments` does, where both counts are tensors () and either may be 0 or 1."""
    total = count_a + count_b
    delta = mean_b - mean_a
    within = var_a * (count_a - 1).clamp(min=0) + var_b * (count_b - 1).clamp(min=0)
    squares = within + delta.square() * (count_a * count_b / total.clamp(min=1))
    mean_a.add_(delta * (count_b / total.clamp(min=1)))
    var_a.copy_(squares / (total - 1).clamp(min=1))


def has_batch_statistics(model: nn.Module) -> bool:
    """Return whether any norm of the model normalises by statistics over samples."""
    return any(isinstance(module, BatchStatistics) for module in model.modules())


def keeps_statistics(model: nn.Module) -> bool:
    """Return whether any norm of the model keeps running statistics."""
    return any(isinstance(m, BatchStatistics) and m.running_mean is not None for m in model.modules())


@contextmanager
def own_batch(model: nn.Module, norm_batch_size: int | None, noise: int | None = None) -> Iterator[None]:
    """Let every norm with batch statistics normalise by its own batch, as in training, but change no buffer.

    Args:
        model: The model, or a norm; put it in ``eval()`` to turn dropout off.
        norm_batch_size: Consecutive samples that share statistics; None takes each whole batch. Every batch size must
            be a multiple of it.
        noise: The step whose noise the norms add, as in `OwnBatch`; None leaves all noise out.
    """
    with _reading(model, lambda: OwnBatch(norm_batch_size, noise)):
        yield


@contextmanager
def pooling(model: nn.Module) -> Iterator[None]:
    """Replace the running statistics by the pooled statistics of all batches inside the context.

    Each batch is normalised by its own whole-batch statistics. Afterwards ``running_mean`` is the mean and
    ``running_var`` the unbiased variance of all values seen, the variance between batches included;
    ``num_batches_tracked`` is unchanged. The caller saves and restores the buffers. Norms without running statistics
    pool nothing and normalise by their own batch, as always.

    Args:
        model: The model, or a norm; put it in ``eval()`` to turn dropout off. Run it eagerly: the counts are Python
            integers, and a compiled model would be compiled again for each batch.
    """
    with _reading(model, Pooling):
        yield


@contextmanager
def sharing(model: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Let every norm with batch statistics train on this rank's rows by the statistics of the whole batch.

    Every rank must call the model the same way. Alone, nothing changes.

    Args:
        model: The model, or a norm, in ``train()``.
        ranks: The ranks.
    """
    norms = [] if ranks.size == 1 else [module for module in model.modules() if isinstance(module, BatchStatistics)]
    for norm in norms:
        norm.ranks = ranks
    try:
        yield
    finally:
        for norm in norms:
            norm.ranks = ALONE


@contextmanager
def _reading(model: nn.Module, statistics: Callable[[], OwnBatch | Pooling]) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, BatchStatistics)]
    before = [norm.statistics for norm in norms]
    for norm in norms:
        norm.statistics = statistics()
    try:
        yield
    finally:
        for norm, old in zip(norms, before, strict=True):
            norm.statistics = old
