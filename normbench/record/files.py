"""Files that are written whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from normbench.errors import StudyError


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file beside `path` and rename it over `path`, so that no reader ever sees half of it.

    Args:
        path: The file to make or replace.
        lines: Its lines, each with its own newline.

    Raises:
        StudyError: If it cannot be written; what stood there before is unharmed.
    """
    # An error message may hold what UTF-8 cannot; it must not keep the table from being written.
    with _replacing(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.writelines(lines)


def write_bytes_whole(path: Path, content: bytes | memoryview) -> None:
    """Write bytes in the place of `path` as `write_whole` does lines.

    Raises:
        StudyError: If they cannot be written; what stood there before is unharmed.
    """
    with _replacing(path, "wb") as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **how: str) -> Iterator[IO[Any]]:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, mode, **how) as file:  # type: ignore[call-overload]  # the mode is one of two
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror}. Finished runs are kept.") from error
    finally:
        # What went wrong before is what the user must hear of; a read-only file system refuses even this.
        with suppress(OSError):
            draft.unlink()


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines to a file in one write and wait until they are on the disk.

    Args:
        path: The file, made where it is missing.
        lines: Lines, each with its own newline.

    Raises:
        StudyError: If they cannot be written; the file is cut back to what it held before.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # As above; a line or a block that is not whole is left out by those who read it.
        with suppress(OSError):
            os.truncate(path, before)
        raise StudyError(f"cannot write {path}: {error.strerror}.") from error


def remove_drafts(folder: Path) -> None:
    """Remove what writers that were killed left half written; nobody else may be writing to the folder.

    Raises:
        StudyError: If it cannot be removed.
    """
    for draft in folder.glob(".*.tmp"):
        try:
            draft.unlink(missing_ok=True)
        except OSError as error:
            raise StudyError(f"cannot remove {draft}: {error.strerror}.") from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and see that it can be written to.

    Raises:
        StudyError: If not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"cannot create folder {path}: {error.strerror}. Choose another: results_dir=...") from error
    probe = path / f".probe.{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(f"cannot write to {path}: {error.strerror}. Choose another: results_dir=...") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system refuses while a file or folder of a study is read into an error that names it.

    Raises:
        StudyError: If it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}.") from error
