"""Text for a language model: windows of tokens that do not overlap, from parts that follow one another."""

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from normbench.data.fields import Fields
from normbench.data.text_files import find, read_text
from normbench.data.vocabulary import learn, unknown_note
from normbench.errors import DataError

PARTS = ("training", "validation", "test")
_SPACE = re.compile(r"\s")


def text(
    root: str | None,
    unit: str,
    length: int,
    encoding: str,
    vocabulary_size: int | None,
    min_count: int,
    val_fraction: float,
    test_fraction: float,
) -> Fields:
    """Load a text, or the files *.txt of a folder in the order of their names, joined by line feeds.

    The beginning of the text is the training part, then comes the validation part, then the test part.

    Args:
        root: The file or folder; relative to the working directory.
        unit: `character`, `word` or `subword`; see `Vocabulary`.
        length: Tokens of each window.
        encoding: Encoding of the files.
        vocabulary_size: Largest number of tokens, special ones included; None for all.
        min_count: Tokens that are less frequent in the training part become `<unk>`.
        val_fraction: Share of the text for validation.
        test_fraction: Share of the text for the test.

    Returns:
        `sequence` (N, length) int64 and `next`, the same one token later, with parts of its own.

    Raises:
        DataError: The files cannot be read, or a part is too short for a window.
    """
    path = find(root, "FILE, or a folder of files *.txt")
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"data.root: folder {path} has no files *.txt")
    whole = "\n".join(read_text(file, encoding) for file in files)
    return windows(
        "text",
        whole,
        unit=unit,
        length=length,
        shares=(val_fraction, test_fraction),
        vocabulary_size=vocabulary_size,
        min_count=min_count,
        where=path,
    )


def pydoc_topics(length: int, val_fraction: float, test_fraction: float) -> Fields:
    """Load the English help texts of Python (`pydoc_data.topics`) as characters; they are part of its installation.

    Another version of Python may have another text, and then another content hash.

    Args:
        length: Characters of each window.
        val_fraction: Share of the text for validation.
        test_fraction: Share of the text for the test.

    Returns:
        As `text`.

    Raises:
        DataError: This Python has no help texts, or a part is too short for a window.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError("data set 'pydoc_topics' needs the help texts of CPython, which this Python lacks") from error
    whole = "\n".join(topics[name] for name in sorted(topics))
    return windows("pydoc_topics", whole, unit="character", length=length, shares=(val_fraction, test_fraction))


def windows(
    name: str,
    whole: str,
    *,
    unit: str,
    length: int,
    shares: tuple[float, float],
    vocabulary_size: int | None = None,
    min_count: int = 1,
    where: Path | None = None,
) -> Fields:
    """Return the windows of a text; see `text`.

    Args:
        name: Name of the data set.
        whole: The text.
        unit: The unit of its tokens.
        length: Tokens of each window.
        shares: Shares of the text for validation and test.
        vocabulary_size: Largest number of tokens.
        min_count: Least count of a token.
        where: File or folder, for notes and errors.
    """
    if length < 1:
        raise DataError(f"data.length must be at least 1, got {length}")
    texts = _parts(whole, *shares, unit=unit)
    vocabulary = learn(texts[:1], unit, size=vocabulary_size, min_count=min_count)
    parts = [vocabulary.encode(part) for part in texts]
    counts = [(len(tokens) - 1) // length for tokens in parts]
    place = f"{where or name}: "
    if min(counts) < 1:
        found = ", ".join(f"{part} {len(tokens):,}" for part, tokens in zip(PARTS, parts, strict=True))
        raise DataError(
            f"{place}each part needs {length + 1} {unit}s, one more than data.length, got {found}; "
            "lower data.length, or change data.val_fraction or data.test_fraction"
        )
    shown, following = (
        np.concatenate([_rows(tokens[shift:], count, length) for tokens, count in zip(parts, counts, strict=True)])
        for shift in (0, 1)
    )
    of_parts = ", ".join(f"{part} {count:,}" for part, count in zip(PARTS, counts, strict=True))
    known = unknown_note(vocabulary, following[counts[0] :])
    notes = (f"{place}windows of {length} {unit}s: {of_parts}", f"{place}{known}")
    return Fields(
        name,
        {"sequence": torch.from_numpy(shown), "next": torch.from_numpy(following)},
        num_val=counts[1],
        num_test=counts[2],
        notes=notes,
        vocabularies={"sequence": vocabulary},
    )


def _parts(whole: str, val_fraction: float, test_fraction: float, *, unit: str) -> list[str]:
    """Cut a text in three; words are not cut."""
    if val_fraction + test_fraction >= 1:
        raise DataError(
            f"data.val_fraction={val_fraction:g} and data.test_fraction={test_fraction:g} leave nothing for training"
        )
    cuts = []
    for share in (val_fraction + test_fraction, test_fraction):
        cut = len(whole) - round(len(whole) * share)
        if unit != "character":
            space = _SPACE.search(whole, cut)
            cut = space.start() if space else len(whole)
        cuts.append(cut)
    return [whole[: cuts[0]], whole[cuts[0] : cuts[1]], whole[cuts[1] :]]


def _rows(tokens: NDArray[np.int64], count: int, length: int) -> NDArray[np.int64]:
    return tokens[: count * length].reshape(count, length)
