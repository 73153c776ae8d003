"""The three evaluations: by running statistics, by precise (pooled) ones, and by each batch's own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data import Dataset, Split
from normbench.norms.statistics import BatchStatistics, has_batch_statistics, own_batch, pooling
from normbench.randomness import generator
from normbench.training.outcome import Score

POOLING_CHUNK = 1024
"""Samples of a chunk over which precise statistics are pooled."""

Fetch = Callable[[Tensor], Tensor]
"""Returns the images of some rows of the data set: as they are, or as the test has them."""

_CHUNK_VALUES = 1024 * 3 * 64 * 64
"""Input values evaluated at once: bounds memory, and is the same everywhere, as it enters the bits."""


@dataclass(frozen=True)
class Evaluator:
    """Scores the model of one run on the parts of its data, or those of R runs stacked.

    Stacked, every index has a first dimension R, the model maps (R, B, C, H, W) to (R, B, K), and there are R scores.

    Attributes:
        dataset: The images, on the device of the model.
        parts: The split, on the same device; (R, n) each, labels (R, N), where stacked.
        seeds: Seed of each run: fixes which samples share a chunk.
        norm_batch_size: Samples that the norms' statistics see in training.
    """

    dataset: Dataset
    parts: Split
    seeds: tuple[int, ...]
    norm_batch_size: int

    def evaluate(self, model: nn.Module, index: Tensor) -> list[Score]:
        """Return the scores on images as they are, as one would deploy the model; it is in training mode afterwards.

        Norms that keep no running statistics use those of chunks of the training norm batch.

        Args:
            model: Maps images (B, C, H, W) to logits (B, K).
            index: Which images, (n,).

        Returns:
            Mean cross-entropy in nats and accuracy, for each run.
        """
        return self._deployed(model, index, self.dataset.batch)

    def test_scores(self, model: nn.Module) -> list[dict[str, Score]]:
        """Return the scores on the test part by the statistics that the norms use; buffers stay unchanged.

        The images are those of `Dataset.test_batch`; running and precise statistics come from images as they are.

        Returns:
            For each run scores by `running`, `precise` (Wu & Johnson 2021) and `batch`; all the same for norms without
            statistics.
        """
        test, fetch = self.parts.test, self.dataset.test_batch
        running = self._deployed(model, test, fetch)
        if not _keeps_statistics(model):
            return [{"running": score, "precise": score, "batch": score} for score in running]
        model.eval()
        batch = self._by_own_batches(model, test, fetch)
        with _kept_buffers(model):
            self.pool_statistics(model)
            precise = self._score(model, torch.split(test, chunk_size(self.dataset), dim=-1), fetch)
        model.train()
        return [
            {"running": one, "precise": two, "batch": three}
            for one, two, three in zip(running, precise, batch, strict=True)
        ]

    @torch.no_grad()
    def pool_statistics(self, model: nn.Module) -> None:
        """Put the statistics of the whole training part in place of the running ones of a model in evaluation mode."""
        order = self._shuffled(self.parts.train, "pooling")
        with pooling(model):
            for chunk in chunks(order, POOLING_CHUNK):
                model(self.dataset.batch(chunk))

    def _deployed(self, model: nn.Module, index: Tensor, fetch: Fetch) -> list[Score]:
        model.eval()
        if has_batch_statistics(model) and not _keeps_statistics(model):
            result = self._by_own_batches(model, index, fetch)
        else:
            result = self._score(model, torch.split(index, chunk_size(self.dataset), dim=-1), fetch)
        model.train()
        return result

    def _by_own_batches(self, model: nn.Module, index: Tensor, fetch: Fetch) -> list[Score]:
        """Score chunks of the norm batch by their own statistics, many chunks in one pass as ghost batches."""
        size = self.norm_batch_size
        *whole, last = chunks(self._shuffled(index, "batch"), size)
        with own_batch(model, None):
            scores = self._score(model, [last], fetch)
        if not whole:
            return scores
        together = max(1, chunk_size(self.dataset) // size) * size
        with own_batch(model, size):
            most = self._score(model, torch.split(torch.cat(whole, dim=-1), together, dim=-1), fetch)
        share = last.shape[-1] / index.shape[-1]
        return [
            Score(
                loss=share * one.loss + (1 - share) * other.loss,
                accuracy=share * one.accuracy + (1 - share) * other.accuracy,
            )
            for one, other in zip(scores, most, strict=True)
        ]

    @torch.no_grad()
    def _score(self, model: nn.Module, parts: Sequence[Tensor], fetch: Fetch) -> list[Score]:
        lead = parts[0].shape[:-1]
        loss = torch.zeros(lead, dtype=torch.float64)
        correct = torch.zeros(lead, dtype=torch.int64)
        for index in parts:
            logits = model(fetch(index))
            wanted = self.parts.labels.gather(-1, index)
            losses = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none").view(wanted.shape)
            # Summed in float64: large but finite losses must not overflow.
            loss += losses.cpu().double().sum(dim=-1)
            correct += (logits.argmax(dim=-1) == wanted).sum(dim=-1).cpu()
        count = sum(index.shape[-1] for index in parts)
        pairs = zip(loss.reshape(-1).tolist(), correct.reshape(-1).tolist(), strict=True)
        return [Score(loss=total / count, accuracy=right / count) for total, right in pairs]

    def _shuffled(self, index: Tensor, name: str) -> Tensor:
        orders = [torch.randperm(index.shape[-1], generator=generator(seed, "evaluation", name)) for seed in self.seeds]
        order = torch.stack(orders) if index.dim() > 1 else orders[0]
        return index.gather(-1, order.to(index.device))


def chunks(index: Tensor, size: int) -> list[Tensor]:
    """Split indices (..., n) into chunks of `size`, the remainder joined to the last."""
    count = index.shape[-1]
    whole = max(count // size, 1)
    sizes = [size] * (whole - 1)
    return list(torch.split(index, [*sizes, count - sum(sizes)], dim=-1))


def chunk_size(dataset: Dataset) -> int:
    """Return how many samples are evaluated at once."""
    channels, height, width = dataset.input_shape
    return max(1, min(1024, _CHUNK_VALUES // (channels * height * width)))


def _keeps_statistics(model: nn.Module) -> bool:
    return any(isinstance(m, BatchStatistics) and m.running_mean is not None for m in model.modules())


@contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])
