"""Loss, perplexity, exact match and BLEU of translations, against sums over single tokens and whole corpora."""

import math

import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor, nn

from normbench.data.vocabulary import BOS, EOS, PAD
from normbench.shapes import PairShape, SequenceShape
from normbench.tasks import Translation
from normbench.tasks.bleu import corpus_bleu, sentence_counts
from normbench.tasks.translation import greedy

from .made_up import pairs


class Told(nn.Module):
    """Writes given sentences, whatever it reads; it asserts what it is given."""

    def __init__(self, sentences: Tensor, vocabulary: int) -> None:
        super().__init__()
        self.sentences = sentences
        self.vocabulary = vocabulary
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
        self.seen.append((target.clone(), target_lengths.clone()))
        return nn.functional.one_hot(self.sentences, self.vocabulary).float()


def outputs_of(seed: int = 3) -> Tensor:
    return torch.randn(4, 5, 10, generator=torch.Generator().manual_seed(seed))


def test_models_are_told_both_sequences() -> None:
    """Both are padded; there is an output at every step of the target."""
    task = Translation(pairs())
    wanted = SequenceShape(5, vocabulary=10, padded=True)
    assert task.input_shape == PairShape(wanted, wanted._replace(every_step=True))
    assert task.blank_outputs(2).shape == (2, 5, 10)


def test_padding_enters_no_loss_and_no_metric() -> None:
    """All are means over the tokens of the targets, whatever stands after them."""
    data = pairs()
    task, batch, outputs = Translation(data), data.fetch(torch.arange(4)), outputs_of()
    nats = [
        -float(outputs[sample, step].log_softmax(0)[batch["next"][sample, step]])
        for sample in range(4)
        for step in range(int(batch["target_lengths"][sample]))
    ]
    mean = sum(nats) / len(nats)
    assert float(task.loss(outputs, batch)) == pytest.approx(mean)
    sums = {name: rows.double().sum(0) for name, rows in task.measure(outputs, batch).items()}
    sums |= {"loss": task.losses(outputs, batch).sum(), "count": torch.tensor(4.0)}
    assert task.mean_loss(sums) == pytest.approx(mean)
    assert task.scores(sums)["perplexity"] == pytest.approx(math.exp(mean))


def test_exact_match_is_a_target_written_without_a_fault() -> None:
    """Faults in the padding do not count, one in the last token does."""
    data = pairs()
    task, batch = Translation(data), data.fetch(torch.arange(4))
    right = nn.functional.one_hot(batch["next"], 10).float()
    assert task.measure(right, batch)["exact_match"].all()
    padding = right.clone()
    wrong = right.clone()
    for sample, length in enumerate(batch["target_lengths"].tolist()):
        padding[sample, length:] = torch.eye(10)[7]
        wrong[sample, length - 1] = torch.eye(10)[8]
    assert task.measure(padding, batch)["exact_match"].all()
    assert not task.measure(wrong, batch)["exact_match"].any()


def test_greedy_decoding_writes_from_what_it_wrote() -> None:
    """It reads its own tokens and no others, and stops at the end of a sentence."""
    data = pairs()
    batch = data.fetch(torch.arange(4))
    model = Told(batch["next"], 10)
    assert torch.equal(greedy(model, batch), batch["next"])
    target, lengths = model.seen[-1]
    assert torch.equal(target, batch["target"])
    assert torch.equal(lengths, batch["target_lengths"])
    first, ones = model.seen[0]
    assert torch.equal(first[:, 0], torch.full((4,), BOS)) and not first[:, 1:].any()
    assert torch.equal(ones, torch.ones_like(ones))


def test_sums_of_sentences_make_the_bleu_of_the_corpus() -> None:
    """The same number as sacrebleu's of all sentences at once."""
    generated = ["a b c d e", "f g h i", "a c b d f", "e"]
    references = ["a b c d f", "f g h i j", "a c b d e", "e e"]
    counts = sentence_counts(generated, references).sum(0)
    wanted = BLEU(tokenize="none").corpus_score(generated, [references]).score
    assert corpus_bleu(counts) == pytest.approx(wanted) and 10 < wanted < 90


def test_an_unknown_word_of_a_reference_matches_nothing() -> None:
    """A model that writes <unk> gets nothing for it."""
    whole = sentence_counts(["a b c d <unk>"], ["a b c d e"])
    assert torch.equal(sentence_counts(["a b c d <unk>"], ["a b c d <unk>"]), whole)


@pytest.mark.parametrize("runs", [None, 2], ids=["alone", "stacked"])
def test_bleu_is_counted_for_each_pair(runs: int | None) -> None:
    """Stacked runs have a row each."""
    data = pairs()
    task, batch = Translation(data), dict(data.fetch(torch.arange(4)))
    if runs:
        batch = {name: torch.stack([field] * runs) for name, field in batch.items()}
    counts = task.generated(Told(batch["next"], 10), batch)["bleu"]
    assert counts.shape == (*batch["next"].shape[:-1], 10)
    assert torch.equal(counts[..., 0], batch["target_lengths"] - 1)
    assert torch.equal(counts[..., 2], batch["target_lengths"] - 1)


def test_pairs_that_are_no_texts_have_no_bleu() -> None:
    """Symbols are no words."""
    task = Translation(pairs("symbol"))
    assert task.metrics == ("perplexity", "exact_match")
    assert task.generated(nn.Identity(), {}) == {}


def test_decoding_ends_at_the_end_token() -> None:
    """What a model would write after it is padding."""
    data = pairs()
    batch = data.fetch(torch.arange(1))
    written = greedy(Told(torch.tensor([[5, EOS, 6, 6, 6]]), 10), batch)
    assert written.tolist() == [[5, EOS, PAD, PAD, PAD]]


def test_chance_is_frequency_and_nothing_else() -> None:
    """No sentence is right by chance."""
    chance = Translation(pairs()).chance
    assert 1 < chance["perplexity"] < 12
    assert (chance["exact_match"], chance["bleu"]) == (0.0, 0.0)
