"""Sequences of tokens one after another, as arrays of one padded length."""

import numpy as np
from numpy.typing import NDArray

from normbench.data.vocabulary import BOS, EOS, PAD

Sequences = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The tokens of all sequences, one after another, and how many each sequence has."""


def pad(tokens: NDArray[np.int64], lengths: NDArray[np.int64], before: int | None = None) -> NDArray[np.int64]:
    """Return sequences in the rows of one array, with padding at the end.

    Args:
        tokens: The tokens of all sequences, one after another.
        lengths: (N,) how many each has.
        before: A token to put in front of each; None for none.

    Returns:
        (N, L), L being the longest length, and one more with `before`.
    """
    rows = np.full((len(lengths), int(lengths.max())), PAD, np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = tokens
    return rows if before is None else np.insert(rows, 0, before, axis=1)


def select(sequences: Sequences, kept: NDArray[np.bool_]) -> Sequences:
    """Return some of the sequences, by a mask (N,)."""
    tokens, lengths = sequences
    return tokens[np.repeat(kept, lengths)], lengths[kept]


def cut(sequences: Sequences, longest: int) -> Sequences:
    """Return the sequences without what is beyond a length."""
    tokens, lengths = sequences
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(tokens)) - np.repeat(starts, lengths)
    return tokens[place < longest], np.minimum(lengths, longest)


def pair_fields(source: Sequences, target: Sequences) -> dict[str, NDArray[np.int64]]:
    """Return the fields of a translation.

    Args:
        source: The sources of N pairs.
        target: Their targets, without `<bos>` and `<eos>`.

    Returns:
        `source` (N, Ls), `source_lengths` (N,), `target` (N, Lt), which begins with `<bos>`, `next` (N, Lt), the target
        one later, which ends with `<eos>`, and `target_lengths` (N,), the lengths of both.
    """
    tokens, lengths = target
    shown = pad(tokens, lengths, BOS)
    following = np.append(shown[:, 1:], np.full((len(shown), 1), PAD), axis=1)
    following[np.arange(len(shown)), lengths] = EOS
    return {
        "source": pad(*source),
        "source_lengths": source[1],
        "target": shown,
        "next": following,
        "target_lengths": lengths + 1,
    }
