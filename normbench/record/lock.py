"""A lock that lets one command at a time use a study; the kernel releases it when its owner dies."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from normbench.errors import StudyError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Error codes of a file system without flock, such as Lustre mounted without it."""

Say = Callable[[str], None]


class FolderLock:
    """The lock of a folder; it is re-entrant."""

    def __init__(self, folder: Path) -> None:
        """Set the folder, which need not exist before the lock is taken."""
        self._folder = folder
        self._depth = 0

    @contextmanager
    def held(self, say: Say) -> Iterator[bool]:
        """Wait for the lock and hold it; forked workers hold it too, until the last one has ended.

        Args:
            say: Called once with the owner of the lock if this has to wait.

        Yields:
            Whether the lock was newly taken: False if this object already held it, or without locks in the file system.

        Raises:
            StudyError: If the lock file cannot be opened.
        """
        if self._depth:
            yield False
            return
        with self._open() as file:
            taken = self._take(file, say)
            self._depth += 1
            try:
                yield taken
            finally:
                self._depth -= 1
                if taken:
                    # Closing the file is not enough: a worker that is about to end shares the lock.
                    fcntl.flock(file, fcntl.LOCK_UN)

    @property
    def is_free(self) -> bool:
        """Whether no process holds the lock now."""
        if self._depth:
            return False
        with self._open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
        return True

    def _open(self) -> TextIO:
        path = self._folder / ".lock"
        try:
            return path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StudyError(f"cannot write {path}: {error.strerror}.") from error

    def _take(self, file: TextIO, say: Say) -> bool:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for {_owner(file)}, which is using {self._folder}")
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise StudyError(f"cannot lock {self._folder}: {error.strerror}.") from error
            say(f"{self._folder} is on a file system without locks: run only one command at a time on it.")
            return False
        # Only informs waiting processes: not needed if the disk is full.
        with suppress(OSError):
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return True


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.readline().strip() or "another command"
