"""One command at a time works on a study: a lock that the kernel gives back when its owner dies."""

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
"""What a file system without flock answers, such as Lustre mounted without it."""

Say = Callable[[str], None]


class FolderLock:
    """The lock of a folder; whoever holds it may take it again."""

    def __init__(self, folder: Path) -> None:
        """Point at the folder, which need not exist before the lock is taken."""
        self._folder = folder
        self._depth = 0

    @contextmanager
    def held(self, say: Say) -> Iterator[bool]:
        """Wait for the lock and hold it; forked workers hold it too, until the last of them has gone.

        Args:
            say: Is told once who holds the lock, where it has to be waited for.

        Yields:
            Whether it has just been taken: not by an owner who takes it again, nor on a file system without locks.

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
                    # Closing would not do: a worker that is about to end shares the lock.
                    fcntl.flock(file, fcntl.LOCK_UN)

    @property
    def is_free(self) -> bool:
        """Whether nobody holds the lock at this moment."""
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
        # Only a name for those who wait: on a full disk they do without.
        with suppress(OSError):
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return True


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.readline().strip() or "another command"
