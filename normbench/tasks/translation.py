"""Writing a target sequence after reading a source."""

import importlib.util
from collections.abc import Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.data.vocabulary import BOS, EOS, PAD
from normbench.errors import ImpossibleRunError
from normbench.shapes import PairShape
from normbench.tasks.bleu import corpus_bleu, sentence_counts
from normbench.tasks.language_model import of_nats
from normbench.tasks.sequences import all_of, sequence_shape, unigram_nats, valid_steps
from normbench.tasks.task import Task, Written, trained_and_judged


@final
class Translation(Task):
    """Pairs of sequences: the cross-entropy of each next token of the target, in nats a token.

    Metrics are perplexity, the exponential of the loss; exact match, the share of targets that greedy decoding writes
    without a fault; and, for texts, BLEU of greedy decoding. It compares words as the vocabulary has them, in lower
    case if they are its tokens; a word of a reference that the vocabulary lacks never matches. Padding enters none.

    Args:
        data: With `source` and `target`, (N, L) tokens each, their lengths, `next`, the target one token later, and
            the vocabularies of `source` and `target`.

    Shape:
        Outputs are logits (B, L, V) for the tokens of `next`.

    Raises:
        ImpossibleRunError: If the data set lacks a field or a vocabulary, or BLEU is wanted without sacrebleu.
    """

    inputs = ("source", "source_lengths", "target", "target_lengths")
    targets = ("next", "target_lengths")
    causal = "target"
    writes = "The targets of some sources of the test part, the likeliest token at each step."

    def __init__(self, data: Examples) -> None:
        super().__init__(data)
        self.shape = PairShape(
            sequence_shape(data, "source", padded=True, every_step=False),
            sequence_shape(data, "target", padded=True, every_step=True),
        )
        self.texts = data.vocabularies["target"].unit != "symbol"
        self.metrics = ("perplexity", "exact_match")
        if self.texts:
            self.metrics = (*self.metrics, "bleu")
            if importlib.util.find_spec("sacrebleu") is None:
                raise ImpossibleRunError("task=translation needs sacrebleu for BLEU: pip install 'normbench[text]'.")

    @property
    def input_shape(self) -> PairShape:
        """The shapes of source and target."""
        return self.shape

    @property
    def num_outputs(self) -> int:
        """V, the tokens of the target's vocabulary."""
        return self.shape.target.vocabulary

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros (count, L, V)."""
        return super().blank_outputs(count).unsqueeze(1).expand(-1, self.shape.target.length, -1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy () of logits (B, L, V) over all tokens of the batch."""
        return self.losses(outputs, batch).sum() / batch["target_lengths"].sum()

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the summed cross-entropy of each target, (B,)."""
        nats = F.cross_entropy(outputs.transpose(1, 2), batch["next"], reduction="none")
        return torch.where(self._valid(batch), nats, 0).sum(1)

    def mean_loss(self, sums: Mapping[str, Tensor]) -> float:
        """Return the mean over tokens."""
        return float(sums["loss"] / sums["tokens"])

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the summed loss and the number of tokens of each target, and whether each of its tokens is likeliest.

        If so, greedy decoding writes the target: it has the target's own tokens before each.
        """
        right = outputs.argmax(dim=-1) == batch["next"]
        return {
            "nats": self.losses(outputs, batch),
            "tokens": batch["target_lengths"],
            "exact_match": (right | ~self._valid(batch)).all(dim=1),
        }

    @torch.no_grad()
    def generated(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the counts of BLEU of greedy decoding, (B, 10); nothing for pairs that are no texts."""
        if not self.texts:
            return {}
        decode = self.data.vocabularies["target"].decode
        written, references = (
            [decode(row) for row in tokens.flatten(0, -2).tolist()] for tokens in (greedy(model, batch), batch["next"])
        )
        return {"bleu": sentence_counts(written, references).reshape(*batch["next"].shape[:-1], -1)}

    @torch.no_grad()
    def written(self, model: nn.Module, batch: Batch) -> list[Written]:
        """Return what greedy decoding writes after each source."""
        source, target = (self.data.vocabularies[field].decode for field in ("source", "target"))
        rows = (batch["source"], greedy(model, batch), batch["next"])
        return [
            Written(source(prompt), target(text), target(wanted))
            for prompt, text, wanted in zip(*(tokens.tolist() for tokens in rows), strict=True)
        ]

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics; BLEU only where something was generated."""
        scores = {
            "perplexity": of_nats("perplexity", float(sums["nats"] / sums["tokens"])),
            "exact_match": float(sums["exact_match"] / sums["count"]),
        }
        return {**scores, "bleu": corpus_bleu(sums["bleu"])} if "bleu" in sums else scores

    @property
    def chance(self) -> dict[str, float]:
        """The perplexity of the tokens' frequencies; nothing is right by chance, and nothing matches."""
        tokens, lengths = all_of(self.data, "next", "target_lengths")
        valid = valid_steps(lengths, self.shape.target.length)
        trained, judged = trained_and_judged(self.data)
        nats = unigram_nats(tokens[trained][valid[trained]], tokens[judged][valid[judged]], self.num_outputs)
        return {"perplexity": of_nats("perplexity", nats), **dict.fromkeys(self.metrics[1:], 0.0)}

    def _valid(self, batch: Batch) -> Tensor:
        return valid_steps(batch["target_lengths"], self.shape.target.length)


def greedy(model: nn.Module, batch: Batch) -> Tensor:
    """Return what a model writes if it takes the likeliest token at each step, (..., L) tokens.

    Statistics of norms that are taken over the batch are those of what is written so far.

    Args:
        model: Called with the inputs of `Translation`.
        batch: `source`, `source_lengths` and `target` (..., L), of which the first token is read.
    """
    written = torch.full_like(batch["target"], PAD)
    tokens = torch.full_like(batch["target"], PAD)
    tokens[..., 0] = BOS
    lengths = torch.ones_like(batch["target_lengths"])
    ended = torch.zeros_like(lengths, dtype=torch.bool)
    for step in range(tokens.shape[-1]):
        outputs = model(batch["source"], batch["source_lengths"], tokens, lengths)
        likeliest = torch.where(ended, PAD, outputs[..., step, :].argmax(dim=-1))
        written[..., step] = likeliest
        ended |= likeliest == EOS
        if step + 1 < tokens.shape[-1]:
            tokens[..., step + 1] = torch.where(ended, PAD, likeliest)
            lengths = lengths + (~ended).long()
    return written
