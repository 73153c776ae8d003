"""Atomic writing of files."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from normbench.errors import StudyError
from normbench.record.owners import has_ended, owner


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a temporary file next to `path` and rename it to `path`, so that no reader sees a partial file.

    Args:
        path: The file to create or replace.
        lines: Its lines, each with its newline.

    Raises:
        StudyError: If it cannot be written; the previous file is unchanged.
    """
    # An error message may contain characters that UTF-8 cannot encode; the table must still be written.
    with _replacing(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.writelines(lines)


def write_bytes_whole(path: Path, content: bytes | memoryview) -> None:
    """Replace the file `path` by bytes, atomically as `write_whole`.

    Raises:
        StudyError: If they cannot be written; the previous file is unchanged.
    """
    with _replacing(path, "wb") as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **how: str) -> Iterator[IO[Any]]:
    draft = path.with_name(f".{path.name}.{owner()}.tmp")
    try:
        with open(draft, mode, **how) as file:  # type: ignore[call-overload]  # the mode is one of two
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror}. Finished runs are kept.") from error
    finally:
        # Report the original error; on a read-only file system this fails too.
        with suppress(OSError):
            draft.unlink()


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines to a file in one write and wait until they are on the disk.

    Args:
        path: The file, created if it is missing.
        lines: Lines, each with its newline.

    Raises:
        StudyError: If they cannot be written; the file is truncated to its previous length.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Report the original error, as above; readers ignore an incomplete line or block.
        with suppress(OSError):
            os.truncate(path, before)
        raise StudyError(f"cannot write {path}: {error.strerror}.") from error


def remove_drafts(folder: Path) -> None:
    """Remove the temporary files of killed writers of this host; processes of other hosts may still be writing theirs.

    Raises:
        StudyError: If one cannot be removed.
    """
    for draft in folder.glob(".*.tmp"):
        # Early versions gave no host, and wrote only under the study's lock.
        named = re.search(r"\.(\d+@.+)\.tmp$", draft.name)
        if named is None or has_ended(named[1]):
            try:
                draft.unlink(missing_ok=True)
            except OSError as error:
                raise StudyError(f"cannot remove {draft}: {error.strerror}.") from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents, and check that it is writable.

    Raises:
        StudyError: If not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"cannot create folder {path}: {error.strerror}. Choose another: results_dir=...") from error
    probe = path / f".probe.{owner()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(f"cannot write to {path}: {error.strerror}. Choose another: results_dir=...") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert system errors while reading a file or folder of a study into an error that names it.

    Raises:
        StudyError: If it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}.") from error
