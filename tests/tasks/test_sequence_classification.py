"""Which fields models of classified sequences get."""

import dataclasses

import pytest
import torch

from normbench.errors import ImpossibleRunError
from normbench.shapes import SequenceShape
from normbench.tasks import SequenceClassification

from .made_up import labelled, windows


@pytest.mark.parametrize("padded", [False, True])
def test_models_get_lengths_where_sequences_differ(padded: bool) -> None:
    """The shape says so, too."""
    data = labelled(padded=padded)
    task = SequenceClassification(data)
    assert task.input_shape == SequenceShape(4, features=3, padded=padded)
    assert len(task.inputs_of(data.fetch(torch.arange(2)))) == 1 + padded
    assert task.num_outputs == 2


def test_data_without_labels_are_refused() -> None:
    """A text has none."""
    with pytest.raises(ImpossibleRunError, match="needs labels"):
        SequenceClassification(windows())


def test_tokens_need_a_vocabulary() -> None:
    """Otherwise a model does not know how many there are."""
    data = labelled(padded=False)
    fields = {**data.fields, "sequence": torch.zeros(12, 4, dtype=torch.int64)}
    task = SequenceClassification(dataclasses.replace(data, fields=fields, content=""))
    with pytest.raises(ImpossibleRunError, match=r"tokens with a vocabulary.*field 'sequence' of data=made up is"):
        _ = task.input_shape
