"""Tests of the steps of padded sequences."""

import torch

from normbench.models.sequences.steps import mean_over_steps, reversed_steps, valid_steps


def test_valid_steps_are_those_before_the_end() -> None:
    """Without lengths there is no mask."""
    x = torch.zeros(3, 3)
    assert valid_steps(x, None) is None
    valid = valid_steps(x, torch.tensor([3, 1, 0]))
    assert valid is not None
    assert valid.tolist() == [[True, True, True], [True, False, False], [False, False, False]]


def test_reversed_steps_leave_the_padding_at_the_end() -> None:
    """Reversing twice gives back the sequence."""
    x = torch.arange(8.0).view(2, 4, 1)
    lengths = torch.tensor([4, 2])
    assert reversed_steps(x, lengths).flatten(1).tolist() == [[3, 2, 1, 0], [5, 4, 6, 7]]
    assert reversed_steps(x, None).flatten(1).tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]
    torch.testing.assert_close(reversed_steps(reversed_steps(x, lengths), lengths), x)


def test_the_mean_leaves_out_padding() -> None:
    """A sequence without any step has mean 0."""
    x = torch.tensor([[[1.0], [3.0]], [[5.0], [float("nan")]], [[7.0], [7.0]]])
    assert mean_over_steps(x, valid_steps(x, torch.tensor([2, 1, 0]))).tolist() == [[2.0], [5.0], [0.0]]
    assert mean_over_steps(x[:1], None).tolist() == [[2.0]]
