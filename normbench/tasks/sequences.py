"""What tasks on sequences have in common: the shape that a model is told, which steps are no padding, chance levels."""

import torch
from torch import Tensor

from normbench.data.examples import Examples
from normbench.errors import ImpossibleRunError
from normbench.shapes import SequenceShape


def sequence_shape(data: Examples, field: str, *, padded: bool, every_step: bool) -> SequenceShape:
    """Return the shape of a field of sequences, (N, L) tokens or (N, L, D) numbers.

    Args:
        data: The data set.
        field: The name of the field.
        padded: Whether the model gets lengths.
        every_step: Whether there is an output at every step.

    Raises:
        ImpossibleRunError: If the field has neither shape, or tokens without a vocabulary.
    """
    values = data.blank(1)[field]
    if values.dim() == 3 and values.is_floating_point():
        return SequenceShape(values.shape[1], features=values.shape[2], padded=padded, every_step=every_step)
    vocabulary = data.vocabularies.get(field)
    if values.dim() != 2 or values.is_floating_point() or vocabulary is None:
        raise ImpossibleRunError(
            f"the task needs sequences, (N, L) tokens with a vocabulary or (N, L, D) numbers, and field '{field}' of "
            f"data={data.name} is {('N', *values.shape[1:])} in {values.dtype}; choose data that fit the task."
        )
    return SequenceShape(values.shape[1], vocabulary=len(vocabulary), padded=padded, every_step=every_step)


def valid_steps(lengths: Tensor, length: int) -> Tensor:
    """Return which steps are no padding, (B, L) bool, from lengths (B,)."""
    return torch.arange(length, device=lengths.device) < lengths.unsqueeze(-1)


def unigram_nats(trained: Tensor, judged: Tensor, vocabulary: int) -> float:
    """Return the mean loss in nats of predicting each token by its frequency in the training part alone.

    Each token counts once more than it occurs (Laplace), so that none has probability 0.

    Args:
        trained: Tokens of the training part, (n,).
        judged: Tokens to predict, (m,).
        vocabulary: Number of tokens V.
    """
    counts = torch.bincount(trained, minlength=vocabulary).double() + 1
    return float(-(counts / counts.sum()).log()[judged].mean())


def all_of(data: Examples, *fields: str) -> tuple[Tensor, ...]:
    """Return some fields of all samples, (N, ...) each, on the CPU."""
    device = next(iter(data.blank(1).values())).device
    found = data.fetch(torch.arange(len(data), device=device))
    return tuple(found[field].cpu() for field in fields)
