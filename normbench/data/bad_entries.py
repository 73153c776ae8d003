"""Entries of the user's annotations that cannot be used: an error, or left out and counted."""

from collections import Counter
from collections.abc import Iterator

from normbench.errors import DataError


class BadEntries:
    """What is wrong in annotations.

    Args:
        skip: Whether to leave bad entries out and count them; otherwise the first is an error.
    """

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._mended: Counter[str] = Counter()

    def add(self, kind: str, message: str) -> None:
        """Count an entry that is left out.

        Args:
            kind: What it is, in the plural.
            message: The file, the entry, and what is wrong with it.

        Raises:
            DataError: Bad entries are not skipped.
        """
        if not self._skip:
            raise DataError(f"{message}\ndata.skip_bad=true leaves out {kind}")
        self._counts[kind] += 1
        self._first.setdefault(kind, message)

    def mend(self, kind: str) -> None:
        """Count an entry that is used after a small change; `kind` says what it is and what was done, in the plural."""
        self._mended[kind] += 1

    def notes(self) -> Iterator[str]:
        """Yield a line for each kind: how many were mended, or left out and the first of them."""
        for kind, count in self._mended.items():
            yield f"{kind}: {count}"
        for kind, count in self._counts.items():
            yield f"left out: {kind}, {count}; the first: {self._first[kind]}"
