"""The three evaluations: by running statistics, by precise (pooled) ones, and by each batch's own."""

from collections.abc import Iterator, Sequence
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

_CHUNK_VALUES = 1024 * 3 * 64 * 64
"""Input values evaluated at once: bounds memory, and is the same everywhere, as it enters the bits."""


@dataclass(frozen=True)
class Evaluator:
    """Scores a model on the parts of one run's data.

    Attributes:
        dataset: The images, on the device of the model.
        parts: The split, on the same device.
        seed: Seed of the run: fixes which samples share a chunk.
        norm_batch_size: Samples that the norms' statistics see in training.
    """

    dataset: Dataset
    parts: Split
    seed: int
    norm_batch_size: int

    def evaluate(self, model: nn.Module, index: Tensor) -> Score:
        """Return the score on some samples as one would deploy the model; it is in training mode afterwards.

        Norms that keep no running statistics use those of chunks of the training norm batch.

        Args:
            model: Maps images (B, C, H, W) to logits (B, K).
            index: Which images, (n,).

        Returns:
            Mean cross-entropy in nats and accuracy.
        """
        model.eval()
        if has_batch_statistics(model) and not _keeps_statistics(model):
            result = self._by_own_batches(model, index)
        else:
            result = self._score(model, torch.split(index, chunk_size(self.dataset)))
        model.train()
        return result

    def test_scores(self, model: nn.Module) -> dict[str, Score]:
        """Return the scores on the test part by the statistics that the norms use; buffers stay unchanged.

        Returns:
            Scores by `running`, `precise` (Wu & Johnson 2021) and `batch`; all the same for norms without statistics.
        """
        running = self.evaluate(model, self.parts.test)
        if not _keeps_statistics(model):
            return {"running": running, "precise": running, "batch": running}
        model.eval()
        batch = self._by_own_batches(model, self.parts.test)
        with _kept_buffers(model):
            self.pool_statistics(model)
            precise = self._score(model, torch.split(self.parts.test, chunk_size(self.dataset)))
        model.train()
        return {"running": running, "precise": precise, "batch": batch}

    @torch.no_grad()
    def pool_statistics(self, model: nn.Module) -> None:
        """Put the statistics of the whole training part in place of the running ones of a model in evaluation mode."""
        order = self._shuffled(self.parts.train, "pooling")
        with pooling(model):
            for chunk in chunks(order, POOLING_CHUNK):
                model(self.dataset.batch(chunk))

    def _by_own_batches(self, model: nn.Module, index: Tensor) -> Score:
        """Score chunks of the norm batch by their own statistics, many chunks in one pass as ghost batches."""
        size = self.norm_batch_size
        *whole, last = chunks(self._shuffled(index, "batch"), size)
        with own_batch(model, None):
            score = self._score(model, [last])
        if not whole:
            return score
        together = max(1, chunk_size(self.dataset) // size) * size
        with own_batch(model, size):
            most = self._score(model, torch.split(torch.cat(whole), together))
        share = len(last) / len(index)
        return Score(
            loss=share * score.loss + (1 - share) * most.loss,
            accuracy=share * score.accuracy + (1 - share) * most.accuracy,
        )

    @torch.no_grad()
    def _score(self, model: nn.Module, parts: Sequence[Tensor]) -> Score:
        loss = 0.0
        correct = 0
        for index in parts:
            logits = model(self.dataset.batch(index))
            wanted = self.parts.labels[index]
            # Summed in float64: large but finite losses must not overflow.
            loss += float(F.cross_entropy(logits, wanted, reduction="none").cpu().double().sum())
            correct += int((logits.argmax(dim=1) == wanted).sum())
        count = sum(len(index) for index in parts)
        return Score(loss=loss / count, accuracy=correct / count)

    def _shuffled(self, index: Tensor, name: str) -> Tensor:
        order = torch.randperm(len(index), generator=generator(self.seed, "evaluation", name))
        return index[order.to(index.device)]


def chunks(index: Tensor, size: int) -> list[Tensor]:
    """Split indices into chunks of `size`, the remainder joined to the last."""
    whole = max(len(index) // size, 1)
    sizes = [size] * (whole - 1)
    return list(torch.split(index, [*sizes, len(index) - sum(sizes)]))


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
