"""A table of texts and their classes, as CSV or TSV."""

from itertools import compress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from normbench.data.fields import Fields
from normbench.data.own_parts import PARTS, TRAIN, by_part, complete, copies
from normbench.data.padding import cut, pad
from normbench.data.text_files import TableRow, find, read_table
from normbench.data.vocabulary import learn, unknown_note
from normbench.errors import DataError

MOST_CLASSES = 12
"""Up to this many classes are listed with their counts."""


def text_table(
    root: str | None,
    text_column: str,
    label_column: str,
    split_column: str | None,
    unit: str,
    max_length: int,
    encoding: str,
    vocabulary_size: int | None,
    min_count: int,
    val_fraction: float,
    test_fraction: float,
    split_seed: int,
) -> Fields:
    """Load a table with a header and a row for each text; `text_files.read_table` says what a table is.

    Args:
        root: The file; relative to the working directory.
        text_column: The column of texts. Rows without a text are left out.
        label_column: The column of classes, any strings.
        split_column: A column that says `train`, `val` or `test`; None draws the parts.
        unit: `character`, `word` or `subword`; see `Vocabulary`.
        max_length: Longest sequence in tokens; the rest of a longer text is cut off.
        encoding: Encoding of the file.
        vocabulary_size: Largest number of tokens, special ones included; None for all.
        min_count: Tokens that are less frequent in the training part become `<unk>`.
        val_fraction: Share of the training rows for validation, if the table has no validation part.
        test_fraction: Share of the training rows for the test, if it has no test part.
        split_seed: Seed of the draw; the run's seed does not affect it.

    Returns:
        `sequence` (N, L) int64, `lengths` (N,) and `labels`, with parts of its own.

    Raises:
        DataError: The file cannot be read, lacks a column or has only one class, or a part would be empty.
    """
    path = find(root, "FILE.csv")
    header, rows = read_table(path, encoding)
    filled = [bool(text.strip()) for text in _column(header, rows, "text_column", text_column, path)]
    kept = list(compress(rows, filled))
    texts = _column(header, kept, "text_column", text_column, path)
    class_names, labels = _classes(header, kept, label_column, path)
    given, shares = (
        _given(header, kept, split_column, path),
        {"val_fraction": val_fraction, "test_fraction": test_fraction},
    )
    parts, order = by_part(complete(given, labels, **shares, seed=split_seed, name=str(path)))
    texts, labels = [texts[row] for row in order], labels[order]
    vocabulary = learn(texts[: parts[TRAIN]], unit, size=vocabulary_size, min_count=min_count)
    whole = vocabulary.encode_all(texts)
    tokens, lengths = cut(whole, max_length)
    notes = [_counts(class_names, labels, parts)]
    if len(kept) < len(rows):
        notes.append(f"left out: {len(rows) - len(kept):,} of {len(rows):,} rows have no text in {text_column}")
    if longer := int((whole[1] > max_length).sum()):
        notes.append(f"cut off: {longer:,} of {len(kept):,} texts are longer than data.max_length={max_length} {unit}s")
    if same := copies(texts, parts[TRAIN]):
        notes.append(f"copies: {same:,} texts of validation and test are in the training part, too")
    notes.append(unknown_note(vocabulary, tokens[lengths[: parts[TRAIN]].sum() :]))
    fields = {"sequence": pad(tokens, lengths), "lengths": lengths, "labels": labels}
    return Fields(
        "text_table",
        {name: torch.from_numpy(values) for name, values in fields.items()},
        num_val=parts[1],
        num_test=parts[2],
        class_names=class_names,
        label="labels",
        notes=tuple(f"{path}: {note}" for note in notes),
        vocabularies={"sequence": vocabulary},
    )


def _column(header: list[str], rows: list[TableRow], key: str, name: str, path: Path) -> list[str]:
    if name not in header:
        raise DataError(f"data.{key}: {path} has no column {name!r}; it has {', '.join(header)}")
    place = header.index(name)
    return [row[place] for _, row in rows]


def _given(header: list[str], rows: list[TableRow], split_column: str | None, path: Path) -> NDArray[np.int64]:
    """Return the part of each row; `TRAIN` without a column of parts."""
    if split_column is None:
        return np.full(len(rows), TRAIN)
    values = _column(header, rows, "split_column", split_column, path)
    for (line, _), value in zip(rows, values, strict=True):
        if value not in PARTS:
            raise DataError(f"{path}, line {line}: got {value!r} in {split_column}, expected {', '.join(PARTS)}")
    return np.array([PARTS.index(value) for value in values])


def _classes(
    header: list[str], rows: list[TableRow], label_column: str, path: Path
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the classes in the order of the alphabet, and the class of each row."""
    found = _column(header, rows, "label_column", label_column, path)
    for (line, _), name in zip(rows, found, strict=True):
        if not name.strip():
            raise DataError(f"{path}, line {line}: no class in {label_column}")
    names, labels = np.unique(np.array(found, dtype=object), return_inverse=True)
    if len(names) < 2:
        only = f"only {names[0]!r}" if len(names) else "none, as no row has a text"
        raise DataError(f"{path}: column {label_column} needs two classes or more, got {only}")
    return tuple(map(str, names)), labels.astype(np.int64)


def _counts(class_names: tuple[str, ...], labels: NDArray[np.int64], parts: tuple[int, int, int]) -> str:
    counts = np.bincount(labels, minlength=len(class_names))
    if len(class_names) > MOST_CLASSES:
        classes = f"{len(class_names)} classes of {counts.min():,} to {counts.max():,}"
    else:
        classes = ", ".join(f"{name} {count:,}" for name, count in zip(class_names, counts, strict=True))
    of_parts = ", ".join(f"{name} {count:,}" for name, count in zip(PARTS, parts, strict=True))
    return f"{len(labels):,} texts ({classes}); {of_parts}"
