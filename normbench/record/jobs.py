"""The jobs of a study that were queued in a cluster, in a file that only grows."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from normbench.errors import StudyError
from normbench.record.files import append_lines, reading


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that trains a pack, or one run of it.

    Attributes:
        name: What leases and messages call it.
        block: Number of the block of the plan that holds the pack.
        index: Place of the pack in the block, from 0.
        run_id: The one run to train; None for all.
        log: File with what the job prints about errors, below the study's folder.
    """

    name: str
    block: int
    index: int
    run_id: str | None
    log: str


class JobFile:
    """The file `jobs.jsonl` of a study."""

    def __init__(self, folder: Path) -> None:
        """Set the folder of the study."""
        self._path = folder / "jobs.jsonl"

    def add(self, jobs: Iterable[QueuedJob]) -> None:
        """Append jobs that were queued.

        Raises:
            StudyError: If the file cannot be written.
        """
        append_lines(self._path, (json.dumps(asdict(job), separators=(",", ":")) + "\n" for job in jobs))

    def read(self) -> list[QueuedJob]:
        """Return all jobs, the newest last; a line whose writing was interrupted is left out.

        Raises:
            StudyError: If the file is damaged.
        """
        if not self._path.exists():
            return []
        with reading(self._path):
            lines = self._path.read_text().splitlines(keepends=True)
        try:
            return [QueuedJob(**json.loads(line)) for line in lines if line.endswith("\n")]
        except (ValueError, TypeError) as error:
            raise StudyError(f"{self._path} is damaged: {error}.") from error
