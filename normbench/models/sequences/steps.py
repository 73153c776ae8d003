"""The steps of padded sequences: which are valid, and their reverse order."""

import torch
from torch import Tensor


def valid_steps(sequence: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return which steps are no padding, (N, L) bool; None if all are valid.

    Args:
        sequence: (N, L, ...).
        lengths: Valid steps of each sequence, (N,); None if all are valid.
    """
    if lengths is None:
        return None
    return torch.arange(sequence.shape[1], device=sequence.device) < lengths.unsqueeze(1)


def reversed_steps(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse the valid steps of each sequence; padding stays at its end. Twice is the identity.

    Args:
        x: (N, L, C).
        lengths: As for `valid_steps`.
    """
    if lengths is None:
        return x.flip(1)
    steps, count = torch.arange(x.shape[1], device=x.device), lengths.unsqueeze(1)
    order = torch.where(steps < count, count - 1 - steps, steps)
    return x.gather(1, order.unsqueeze(2).expand(x.shape))


def mean_over_steps(x: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean over valid steps, (N, C), of x (N, L, C); 0 for a sequence without any."""
    if valid is None:
        return x.mean(1)
    mask = valid.unsqueeze(2)
    return torch.where(mask, x, 0).sum(1) / mask.sum(1).clamp(min=1)
