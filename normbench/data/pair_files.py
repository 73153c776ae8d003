"""Pairs of texts as they are in files: a file of pairs, or two files whose lines belong together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from normbench.data.own_parts import TRAIN
from normbench.data.text_files import read_lines
from normbench.errors import DataError

Files = tuple[tuple[str | None, str | None], ...]
"""Names of the files of sources and targets: for training, validation and test."""

_KEYS = (("source", "target"), ("source_val", "target_val"), ("source_test", "target_test"))


@dataclass(frozen=True)
class Pairs:
    """Sources and targets, one after another.

    Attributes:
        source: N texts.
        target: N texts.
        parts: (N,) the part of each pair; see `own_parts`.
    """

    source: list[str]
    target: list[str]
    parts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parts)

    def take(self, rows: NDArray[np.int64]) -> "Pairs":
        """Return some pairs."""
        return Pairs([self.source[row] for row in rows], [self.target[row] for row in rows], self.parts[rows])


def read_pairs(path: Path, files: Files, encoding: str) -> Pairs:
    """Read the pairs of a file, or of the files in a folder, whose parts they are.

    Raises:
        DataError: A file is missing or cannot be read, parallel files differ in length, or a line has no tab.
    """
    return _parallel(path, files, encoding) if path.is_dir() else _tabbed(path, files, encoding)


def _parallel(folder: Path, files: Files, encoding: str) -> Pairs:
    if files[TRAIN] == (None, None):
        raise DataError(f"data.root={folder} is a folder: name its parallel files, data.source=FILE data.target=FILE")
    sides: tuple[list[str], list[str]] = ([], [])
    parts: list[int] = []
    for part, names in enumerate(files):
        given = {key: name for key, name in zip(_KEYS[part], names, strict=True) if name is not None}
        if len(given) == 1:
            (lacking,) = set(_KEYS[part]) - set(given)
            raise DataError(f"data.{lacking} is missing: {', '.join(given)} needs the file of the other language")
        texts = [read_lines(folder / name, encoding) for name in given.values()]
        if not texts:
            continue
        if len(texts[0]) != len(texts[1]):
            counts = " and ".join(f"{name} {len(lines):,}" for name, lines in zip(names, texts, strict=True))
            raise DataError(f"{folder}: parallel files need equally many lines, got {counts}")
        sides[0].extend(texts[0])
        sides[1].extend(texts[1])
        parts += [part] * len(texts[0])
    return Pairs(*sides, np.array(parts))


def _tabbed(path: Path, files: Files, encoding: str) -> Pairs:
    if any(name is not None for names in files for name in names):
        raise DataError(f"data.root={path} is a file of pairs; data.source and the like name files of a folder")
    rows = [line.split("\t") for line in read_lines(path, encoding)]
    for number, row in enumerate(rows, 1):
        if len(row) < 2 and row[0].strip():
            raise DataError(f"{path}, line {number}: no tab between source and target")
    return Pairs([row[0] for row in rows], ["".join(row[1:2]) for row in rows], np.full(len(rows), TRAIN))
