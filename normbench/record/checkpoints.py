"""Checkpoints of unfinished runs: ``checkpoints/<run_id>.pt`` in the study's folder."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from normbench.record.files import make_folder, write_bytes_whole
from normbench.record.provenance import versions
from normbench.record.store import Study


@dataclass(frozen=True)
class CheckpointFile:
    """The checkpoint of one run; deleted once the run's record is written, see `Study.write_shard`.

    Attributes:
        study: The study of the run.
        run_id: Identity of the run.
        every: Steps between checkpoints; None saves none, but still resumes from an existing one.
        device: Where the run trains; a different device would change the run's bits.
        note: Called with the reason if a checkpoint cannot be resumed.
    """

    study: Study
    run_id: str
    every: int | None
    device: torch.device
    note: Callable[[str], None]

    def due(self, step: int) -> bool:
        """Return whether to save the state after step `step`."""
        return self.every is not None and step % self.every == 0

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state; one that is damaged or of other versions is deleted with a note."""
        path = self.study.checkpoint(self.run_id)
        if not path.exists():
            return None
        try:
            kept = _read(path)
            state, origin = dict(kept["state"]), kept["origin"]
        except Exception as error:  # torch, pickle and zipfile raise different errors for a damaged file
            self._ignore(path, f"is damaged ({type(error).__name__})")
            return None
        if others := [name for name, value in self._origin().items() if origin.get(name) != value]:
            self._ignore(path, f"was written with another {', '.join(others)}")
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state atomically.

        Raises:
            StudyError: If it cannot be written.
        """
        path = self.study.checkpoint(self.run_id)
        make_folder(path.parent)
        # If torch wrote the file itself, it would report a full disk as a different error.
        buffer = BytesIO()
        torch.save({"origin": self._origin(), "state": state}, buffer)
        write_bytes_whole(path, buffer.getbuffer())

    def _origin(self) -> dict[str, str]:
        return {"run_id": self.run_id, "device": self.device.type, **versions()}

    def _ignore(self, path: Path, reason: str) -> None:
        path.unlink(missing_ok=True)
        self.note(f"checkpoint {path} {reason}: deleted, and the run starts from the beginning")


def _read(path: Path) -> dict[str, Any]:
    # torch does not verify the checksums that it writes.
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)
    return dict(torch.load(path, map_location="cpu", weights_only=True))
