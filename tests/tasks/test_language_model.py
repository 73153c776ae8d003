"""The loss, the metrics and the chance level of a language model, against sums over single tokens."""

import math

import pytest
import torch

from normbench.data import Dataset, load
from normbench.errors import ImpossibleRunError
from normbench.shapes import SequenceShape
from normbench.tasks import LanguageModel

from .made_up import labelled, windows


def test_models_are_told_the_vocabulary() -> None:
    """There is an output at every step, for each token."""
    task = LanguageModel(windows())
    assert task.input_shape == SequenceShape(5, vocabulary=9, every_step=True)
    assert task.blank_outputs(2).shape == (2, 5, 9)


@pytest.mark.parametrize(("unit", "metric"), [("character", "bits_per_char"), ("word", "perplexity")])
def test_loss_and_metric_are_means_over_tokens(unit: str, metric: str) -> None:
    """Bits are nats by ln 2, perplexity is the exponential of the mean."""
    data = windows(unit)
    task = LanguageModel(data)
    batch = data.fetch(torch.arange(4))
    outputs = torch.randn(4, 5, 9, generator=torch.Generator().manual_seed(3))
    nats = [
        -float(outputs[sample, step].log_softmax(0)[batch["next"][sample, step]])
        for sample in range(4)
        for step in range(5)
    ]
    mean = sum(nats) / len(nats)
    assert float(task.loss(outputs, batch)) == pytest.approx(mean)
    assert float(task.losses(outputs, batch).mean()) == pytest.approx(mean)
    sums = {name: rows.double().sum(0) for name, rows in task.measure(outputs, batch).items()}
    scores = task.scores({**sums, "count": torch.tensor(4.0)})
    assert scores == {metric: pytest.approx(mean / math.log(2) if metric == "bits_per_char" else math.exp(mean))}


def test_chance_is_what_the_frequencies_of_the_training_part_reach() -> None:
    """They are counted there alone, each once more than it occurs, and judged on the test part."""
    data = windows()
    counts = torch.ones(9, dtype=torch.float64)
    for token in data.fields["next"][:7].flatten().tolist():
        counts[token] += 1
    judged = data.fields["next"][9:].flatten().tolist()
    bits = [-math.log2(float(counts[token] / counts.sum())) for token in judged]
    assert LanguageModel(data).chance == {"bits_per_char": pytest.approx(sum(bits) / len(bits))}


def test_a_hopeless_loss_has_a_finite_perplexity() -> None:
    """Tables hold numbers of 64 bits."""
    scores = LanguageModel(windows("word")).scores({"nats": torch.tensor(1e5), "count": torch.tensor(1.0)})
    assert math.isfinite(scores["perplexity"])


def test_data_without_text_are_refused() -> None:
    """The message names the fields that are missing, or what is wrong with them."""
    with pytest.raises(ImpossibleRunError, match="needs sequence and next, and data=digits has images, labels"):
        digits = load("digits", {})
        assert isinstance(digits, Dataset)
        LanguageModel(digits)
    with pytest.raises(ImpossibleRunError, match="needs next"):
        LanguageModel(labelled(padded=False))
