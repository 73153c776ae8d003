"""The user's own pairs of texts for a translation."""

from dataclasses import replace

import numpy as np
import torch

from normbench.data.fields import Fields
from normbench.data.own_parts import PARTS, TEST, TRAIN, VAL, complete, copies, refuse_empty
from normbench.data.padding import pair_fields, select
from normbench.data.pair_files import Pairs, read_pairs
from normbench.data.text_files import find
from normbench.data.vocabulary import BOS, PAD, SPECIAL_OF_PAIRS, learn, unknown_note, words_of


def text_pairs(
    root: str | None,
    source: str | None,
    target: str | None,
    source_val: str | None,
    target_val: str | None,
    source_test: str | None,
    target_test: str | None,
    unit: str,
    max_length: int,
    encoding: str,
    vocabulary_size: int | None,
    min_count: int,
    val_fraction: float,
    test_fraction: float,
    split_seed: int,
) -> Fields:
    """Load pairs of texts: the lines of parallel files in a folder, or one file with a pair on each line.

    Args:
        root: The folder of the parallel files; without `source`, a file without a header whose lines have the source,
            a tab and the target; what follows another tab is not used. Relative to the working directory.
        source: Name of the file of sources in the folder.
        target: Name of the file of their targets, which has as many lines.
        source_val: Name of a file of sources for validation; None draws a validation part.
        target_val: Name of the file of their targets.
        source_test: Name of a file of sources for the test; None draws a test part.
        target_test: Name of the file of their targets.
        unit: `character`, `word` or `subword`; see `Vocabulary`.
        max_length: Most tokens of a source and of a target; other pairs are left out.
        encoding: Encoding of the files.
        vocabulary_size: Largest number of tokens of each side, special ones included; None for all.
        min_count: Tokens that are less frequent in the training part become `<unk>`.
        val_fraction: Share of the training pairs for validation, if it has no files.
        test_fraction: Share of the training pairs for the test, if it has no files.
        split_seed: Seed of the draw; the run's seed does not affect it.

    Returns:
        The fields of a translation (see `padding.pair_fields`), with parts of its own.

    Raises:
        DataError: A file cannot be read, parallel files differ in length, or a part would be empty.
    """
    path = find(root, "FILE.tsv, or a folder with data.source=FILE data.target=FILE")
    files = ((source, target), (source_val, target_val), (source_test, target_test))
    read = read_pairs(path, files, encoding)
    full = [bool(first.strip() and second.strip()) for first, second in zip(read.source, read.target, strict=True)]
    pairs = read.take(np.flatnonzero(full))
    classes = np.zeros(len(pairs), np.int64)
    shares = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    pairs = replace(pairs, parts=complete(pairs.parts, classes, **shares, seed=split_seed, name=str(path)))
    kept = _ordered(pairs, unit, max_length)
    limited = f"{path}, pairs of at most data.max_length={max_length} {unit}s"
    refuse_empty(kept.parts, limited)
    training = int((kept.parts == TRAIN).sum())
    vocabularies, coded = {}, []
    for side, lines in (("source", kept.source), ("target", kept.target)):
        vocabularies[side] = learn(
            lines[:training], unit, size=vocabulary_size, min_count=min_count, special=SPECIAL_OF_PAIRS
        )
        coded.append(vocabularies[side].encode_all(lines))
    # Only the vocabulary tells how many subwords a text has; other units are as many as before.
    short = np.maximum(coded[0][1], coded[1][1]) <= max_length
    kept = kept.take(np.flatnonzero(short))
    refuse_empty(kept.parts, limited)
    fields = pair_fields(*(select(sequences, short) for sequences in coded))
    counts = [int((kept.parts == part).sum()) for part in (TRAIN, VAL, TEST)]
    notes = [_counts(counts)]
    if empty := len(read) - len(pairs):
        notes.append(f"left out: {empty:,} of {len(read):,} pairs have an empty source or target")
    if long := len(pairs) - len(kept):
        notes.append(f"left out: {long:,} of {len(pairs):,} pairs are longer than data.max_length={max_length} {unit}s")
    if same := copies(list(zip(kept.source, kept.target, strict=True)), counts[TRAIN]):
        notes.append(f"copies: {same:,} pairs of validation and test are in the training part, too")
    for side, vocabulary in vocabularies.items():
        held_out = fields[side][counts[TRAIN] :]
        notes.append(f"{side}: {unknown_note(vocabulary, held_out[~np.isin(held_out, (PAD, BOS))])}")
    return Fields(
        "text_pairs",
        {name: torch.from_numpy(values) for name, values in fields.items()},
        num_val=counts[VAL],
        num_test=counts[TEST],
        notes=tuple(f"{path}: {note}" for note in notes),
        vocabularies=vocabularies,
    )


def _counts(counts: list[int]) -> str:
    of_parts = ", ".join(f"{name} {count:,}" for name, count in zip(PARTS, counts, strict=True))
    return f"{sum(counts):,} pairs: {of_parts}"


def _ordered(pairs: Pairs, unit: str, max_length: int) -> Pairs:
    """Return the pairs in the order of their parts, without those that are too long in any vocabulary."""
    longest = [
        max(_least_tokens(first, unit), _least_tokens(second, unit))
        for first, second in zip(pairs.source, pairs.target, strict=True)
    ]
    order = np.argsort(pairs.parts, kind="stable")
    return pairs.take(order[np.array(longest)[order] <= max_length])


def _least_tokens(line: str, unit: str) -> int:
    """Return the number of tokens of a line, or for subwords, of which a word has at least one, the fewest."""
    return len(line) if unit == "character" else len(words_of(line) if unit == "word" else line.split())
