"""Padding, cutting and the fields of a translation, by hand."""

import numpy as np

from normbench.data.padding import cut, pad, pair_fields, select

TOKENS, LENGTHS = np.array([5, 6, 7, 8, 9, 4]), np.array([3, 0, 2, 1])


def test_padding_stands_at_the_end() -> None:
    """A token in front makes every row longer."""
    assert pad(TOKENS, LENGTHS).tolist() == [[5, 6, 7], [0, 0, 0], [8, 9, 0], [4, 0, 0]]
    assert pad(TOKENS, LENGTHS, 2).tolist() == [[2, 5, 6, 7], [2, 0, 0, 0], [2, 8, 9, 0], [2, 4, 0, 0]]


def test_long_sequences_are_cut() -> None:
    """Each keeps its beginning."""
    tokens, lengths = cut((TOKENS, LENGTHS), 2)
    assert (tokens.tolist(), lengths.tolist()) == ([5, 6, 8, 9, 4], [2, 0, 2, 1])


def test_some_sequences_are_chosen() -> None:
    """With their tokens."""
    tokens, lengths = select((TOKENS, LENGTHS), np.array([False, True, True, False]))
    assert (tokens.tolist(), lengths.tolist()) == ([8, 9], [0, 2])


def test_the_target_is_shown_one_token_earlier() -> None:
    """It begins with <bos> (2), what is next ends with <eos> (3), and both are one longer than the text."""
    fields = pair_fields((np.array([7, 8, 9]), np.array([1, 2])), (np.array([4, 5, 6]), np.array([2, 1])))
    assert {name: values.tolist() for name, values in fields.items()} == {
        "source": [[7, 0], [8, 9]],
        "source_lengths": [1, 2],
        "target": [[2, 4, 5], [2, 6, 0]],
        "next": [[4, 5, 3], [6, 3, 0]],
        "target_lengths": [3, 2],
    }
