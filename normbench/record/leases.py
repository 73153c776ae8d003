"""Leases: which packs of a study are being trained, in files that need no locks and hold between machines too."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from normbench.errors import StudyError
from normbench.record.files import make_folder, reading
from normbench.record.owners import described, has_ended, is_here, owner

RENEWAL, LIFETIME = 30.0, 150.0
"""Seconds between renewals of a lease, and until one that is not renewed is void, if its owner is on another host."""


class Leases:
    """The leases on a study's packs; a context manager that gives back those of this object."""

    def __init__(
        self, folder: Path, *, job: str | None = None, runs: Callable[[str], bool | None] = lambda _: None
    ) -> None:
        """Begin without a lease.

        Args:
            folder: Folder of the study.
            job: The owner of the leases, if that is a job of a cluster; None for this process.
            runs: Returns whether a job is queued or running; None if it is not known here.
        """
        self._folder = folder / "leases"
        self._job = job
        self._runs = runs
        self._own: set[Path] = set()
        self._renewed = time.monotonic()

    def __enter__(self) -> "Leases":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in self._own:
            path.unlink(missing_ok=True)
        self._own.clear()
        # It stays while others have leases.
        with suppress(OSError):
            self._folder.rmdir()

    def holders(self) -> dict[tuple[int, int], str]:
        """Return the owners of valid leases that are not this object's, by block and index of the pack.

        Raises:
            StudyError: If they cannot be read.
        """
        if not self._folder.is_dir():
            return {}
        with reading(self._folder):
            others = sorted(path for path in self._folder.glob("*-*") if path not in self._own)
        found = {_pack(path): holder for path in others if (holder := self._holder(path)) is not None}
        return {pack: holder for pack, holder in found.items() if holder != self._job}

    def take(self, block: int, index: int) -> None:
        """Take the lease of a pack, unless it is this object's already; it keeps others from training the pack.

        Args:
            block: Number of its block.
            index: Its place in the block, from 0.

        Raises:
            StudyError: If another process holds it, or it cannot be written.
        """
        path = self._folder / f"{block:04d}-{index:06d}"
        if path in self._own:
            return
        if not self._folder.is_dir():
            make_folder(self._folder)
        try:
            if not self._create(path):
                holder = self._holder(path)
                if holder is not None and holder != self._job:
                    who = described(holder)
                    raise StudyError(f"{who} is training pack {path.name} of {self._folder.parent}: wait for it.")
                # On a file system without locks two commands may do this at once, and then both train the pack.
                path.unlink(missing_ok=True)
                if not self._create(path):
                    raise StudyError(f"another command is training {self._folder.parent}: wait for it.")
        except OSError as error:
            raise StudyError(f"cannot write {path}: {error.strerror}.") from error
        self._own.add(path)

    def drop(self, block: int, index: int) -> None:
        """Give back the lease of a pack."""
        path = self._folder / f"{block:04d}-{index:06d}"
        path.unlink(missing_ok=True)
        self._own.discard(path)

    def renew(self) -> None:
        """Renew all leases of this object, if it is time."""
        if time.monotonic() - self._renewed > RENEWAL:
            self._renewed = time.monotonic()
            for path in self._own:
                path.touch()

    def _holder(self, path: Path) -> str | None:
        """Return the owner of a lease; None if it has ended or has not renewed it."""
        try:
            holder = path.read_text()
            valid = not has_ended(holder) if is_here(holder) else self._runs(holder)
            if valid is None:
                valid = self._now() - path.stat().st_mtime <= LIFETIME
        except FileNotFoundError:
            return None
        return holder if valid else None

    def _create(self, path: Path) -> bool:
        """Create a lease; return False if there is one."""
        try:
            with path.open("x") as file:
                file.write(self._job or owner())
        except FileExistsError:
            return False
        return True

    def _now(self) -> float:
        """Return the time by the clock of the file system, which may not be this machine's."""
        clock = self._folder / f".clock.{owner()}"
        clock.touch()
        now = clock.stat().st_mtime
        clock.unlink()
        return now


def _pack(path: Path) -> tuple[int, int]:
    block, _, index = path.name.partition("-")
    return int(block), int(index)
