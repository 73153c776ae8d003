"""The three evaluations: with running, with precise (pooled) and with batch statistics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.data import Batch, Examples, Split
from normbench.norms.statistics import has_batch_statistics, keeps_statistics, own_batch, pooling
from normbench.randomness import generator
from normbench.spec import Passes
from normbench.tasks import Task
from normbench.training.gathered import Gathered
from normbench.training.outcome import Score

POOLING_CHUNK = 1024
"""Samples per chunk when pooling precise statistics."""

Fetch = Callable[[Tensor], Batch]
"""Returns samples of the data set: unchanged, or as for the test."""

_CHUNK_VALUES = 1024 * 3 * 64 * 64
"""Values of inputs, or of outputs, at once: limits memory. It is the same everywhere, because it affects the bits."""


@dataclass(frozen=True)
class Evaluator:
    """Scores the model of one run on the parts of its data, or the models of R stacked runs.

    If stacked, every index and the model's inputs and outputs have a first dimension R, and there are R scores.

    Attributes:
        task: The task.
        dataset: The samples, on the device of the model.
        parts: The split, on the same device; if stacked, (R, n) each and its fields (R, N).
        seeds: Seed of each run: determines which samples share a chunk.
        norm_batch_size: Samples per batch of norm statistics in training.
    """

    task: Task
    dataset: Examples
    parts: Split
    seeds: tuple[int, ...]
    norm_batch_size: int

    def evaluate(self, model: nn.Module, index: Tensor) -> list[Score]:
        """Return the scores of the model as deployed, on unchanged samples; it is in training mode afterwards.

        Norms without running statistics use those of chunks of the training norm batch.

        Args:
            model: The model.
            index: Sample indices, (n,).

        Returns:
            A score for each run.
        """
        return self._scored(self._deployed(model, index, self._fetch))

    def test_scores(self, model: nn.Module) -> list[dict[str, Score]]:
        """Return the scores on the test part for each kind of statistics of the norms; buffers stay unchanged.

        The samples are those of `Examples.fetch_test`; running and precise statistics come from unshifted samples.

        Returns:
            For each run the scores with `running`, `precise` (Wu & Johnson 2021) and `batch` statistics; all three are
            the same for norms without statistics.
        """
        test, fetch = self.parts.test, self._fetch_test
        running = self._scored(self._deployed(model, test, fetch))
        if not keeps_statistics(model):
            return [{"running": score, "precise": score, "batch": score} for score in running]
        model.eval()
        batch = self._scored(self._by_own_batches(model, test, fetch))
        with _kept_buffers(model):
            self.pool_statistics(model)
            precise = self._scored(self._gathered(model, torch.split(test, self._together, dim=-1), fetch))
        model.train()
        return [
            {"running": one, "precise": two, "batch": three}
            for one, two, three in zip(running, precise, batch, strict=True)
        ]

    @torch.no_grad()
    def pool_statistics(self, model: nn.Module) -> None:
        """Replace the running statistics by those of the whole training part, for a model in evaluation mode."""
        order = self._shuffled(self.parts.train, "pooling")
        with pooling(model):
            # Of large samples as many as in training: statistics of one or two are none.
            for chunk in chunks(order, max(min(POOLING_CHUNK, self._most), self.norm_batch_size)):
                self.task.call(model, self.dataset.fetch(chunk))

    @property
    def _most(self) -> int:
        """The most samples whose outputs are made at once: those of a text have a number per step and token."""
        return max(1, _CHUNK_VALUES // self.task.blank_outputs(1).numel())

    @property
    def _together(self) -> int:
        """The samples that are evaluated at once."""
        return min(chunk_size(self.dataset), self._most)

    def _deployed(self, model: nn.Module, index: Tensor, fetch: Fetch) -> Gathered:
        model.eval()
        if has_batch_statistics(model) and not keeps_statistics(model):
            result = self._by_own_batches(model, index, fetch)
        else:
            result = self._gathered(model, torch.split(index, self._together, dim=-1), fetch)
        model.train()
        return result

    def _by_own_batches(self, model: nn.Module, index: Tensor, fetch: Fetch) -> Gathered:
        """Score chunks of the norm batch with their own statistics, many chunks per pass as ghost batches."""
        size = self.norm_batch_size
        *whole, last = chunks(self._shuffled(index, "batch"), size)
        with own_batch(model, None):
            gathered = self._gathered(model, [last], fetch)
        if not whole:
            return gathered
        together = max(1, self._together // size) * size
        with own_batch(model, size):
            return gathered.join(self._gathered(model, torch.split(torch.cat(whole, dim=-1), together, dim=-1), fetch))

    @torch.no_grad()
    def _gathered(self, model: nn.Module, parts: Sequence[Tensor], fetch: Fetch) -> Gathered:
        stacked = parts[0].dim() > 1
        losses, measure = self.task.losses, self.task.measure
        if stacked:
            losses, measure = torch.vmap(losses), torch.vmap(measure)
        gathered = Gathered(stacked)
        for index in parts:
            batch = fetch(index)
            outputs, targets = self.task.call(model, batch), self.task.targets_of(batch)
            # Summed in float64: large but finite losses must not overflow.
            found = {"loss": losses(outputs, targets).cpu().double(), **measure(outputs, targets)}
            found |= self.task.generated(model, batch)
            gathered.add(found, self.task.predictions(outputs, targets), index)
        return gathered

    def _scored(self, gathered: Gathered) -> list[Score]:
        """Return the score of each run."""
        return [Score(self.task.mean_loss(run), self.task.scores(run)) for run in gathered.of_each_run()]

    def _fetch(self, index: Tensor) -> Batch:
        return self.parts.batch(self.dataset, index)

    def _fetch_test(self, index: Tensor) -> Batch:
        return self.parts.batch(self.dataset, index, test=True)

    def _shuffled(self, index: Tensor, name: str) -> Tensor:
        orders = [torch.randperm(index.shape[-1], generator=generator(seed, "evaluation", name)) for seed in self.seeds]
        order = torch.stack(orders) if index.dim() > 1 else orders[0]
        return index.gather(-1, order.to(index.device))


def passes_of_tests(parts: Split, *, statistics: bool) -> Passes:
    """Return the passes of `Evaluator.test_scores`.

    Args:
        parts: The split.
        statistics: Whether the model keeps running statistics.
    """
    train, test = parts.train.shape[-1], parts.test.shape[-1]
    return Passes(4, 3 * test + train) if statistics else Passes(1, test)


def chunks(index: Tensor, size: int) -> list[Tensor]:
    """Split indices (..., n) into chunks of `size`; the last one includes the remainder."""
    count = index.shape[-1]
    whole = max(count // size, 1)
    sizes = [size] * (whole - 1)
    return list(torch.split(index, [*sizes, count - sum(sizes)], dim=-1))


def chunk_size(dataset: Examples) -> int:
    """Return how many samples are evaluated at once, as far as their inputs limit it."""
    return max(1, min(1024, _CHUNK_VALUES // dataset.values))


@contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])
