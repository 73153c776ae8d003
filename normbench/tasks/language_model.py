"""Prediction of the next token of a text."""

import math
from collections.abc import Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.data.vocabulary import PAD
from normbench.shapes import SequenceShape
from normbench.tasks.sequences import all_of, sequence_shape, unigram_nats
from normbench.tasks.task import Task, Written, trained_and_judged

LARGEST_NATS = 700.0
"""A larger loss has no perplexity in float64."""


@final
class LanguageModel(Task):
    """Windows of a text: the cross-entropy of each next token, in nats.

    Its metric is bits per character if the tokens are characters, otherwise perplexity, the exponential of the loss.
    Chance level is that of the tokens' frequencies in the training part.

    Args:
        data: With `sequence` and `next`, (N, L) tokens each, and the vocabulary of `sequence`.

    Shape:
        Outputs are logits (B, L, V).

    Raises:
        ImpossibleRunError: If the data set lacks a field or a vocabulary.
    """

    inputs = ("sequence",)
    targets = ("next",)
    causal = "sequence"
    writes = "The second half of some windows of the test part, the likeliest token at each step."

    def __init__(self, data: Examples) -> None:
        super().__init__(data)
        self.shape = sequence_shape(data, "sequence", padded=False, every_step=True)
        by_character = data.vocabularies["sequence"].unit == "character"
        self.metrics = ("bits_per_char",) if by_character else ("perplexity",)

    @property
    def input_shape(self) -> SequenceShape:
        """The shape of the windows."""
        return self.shape

    @property
    def num_outputs(self) -> int:
        """V, the tokens of the vocabulary."""
        return self.shape.vocabulary

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros (count, L, V)."""
        return super().blank_outputs(count).unsqueeze(1).expand(-1, self.shape.length, -1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy () of logits (B, L, V) over all steps."""
        return F.cross_entropy(outputs.flatten(0, 1), batch["next"].flatten())

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of each window, (B,)."""
        return F.cross_entropy(outputs.transpose(1, 2), batch["next"], reduction="none").mean(1)

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the losses again: the metric is a function of their mean."""
        return {"nats": self.losses(outputs, batch)}

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return bits per character or perplexity."""
        return {self.metrics[0]: of_nats(self.metrics[0], float(sums["nats"] / sums["count"]))}

    def written(self, model: nn.Module, batch: Batch) -> list[Written]:
        """Return how the model continues the first half of each window, by the likeliest token at each step."""
        half = self.shape.length // 2
        found = continued(model, batch["sequence"], half)
        decode = self.data.vocabularies["sequence"].decode
        return [
            Written(decode(window[:half]), decode(text[half:]), decode(window[half:]))
            for window, text in zip(batch["sequence"].tolist(), found.tolist(), strict=True)
        ]

    @property
    def chance(self) -> dict[str, float]:
        """The score of the tokens' frequencies."""
        (tokens,) = all_of(self.data, "next")
        trained, judged = trained_and_judged(self.data)
        nats = unigram_nats(tokens[trained].flatten(), tokens[judged].flatten(), self.num_outputs)
        return {self.metrics[0]: of_nats(self.metrics[0], nats)}


@torch.no_grad()
def continued(model: nn.Module, sequence: Tensor, given: int) -> Tensor:
    """Return windows whose first tokens are kept, and each later one is the model's likeliest.

    Args:
        model: A causal model, called with (B, L) tokens.
        sequence: (B, L) tokens.
        given: How many tokens are kept, at least 1. Those after them are not read.

    Returns:
        (B, L) tokens.
    """
    tokens = sequence.clone()
    tokens[:, given:] = PAD
    for step in range(given, tokens.shape[1]):
        tokens[:, step] = model(tokens)[:, step - 1].argmax(dim=-1)
    return tokens


def of_nats(metric: str, nats: float) -> float:
    """Return a loss in nats as `bits_per_char` or `perplexity`."""
    return nats / math.log(2) if metric == "bits_per_char" else math.exp(min(nats, LARGEST_NATS))
