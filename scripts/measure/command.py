"""Normbench as a user runs it: the real command, in a separate process."""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Timed:
    """One command.

    Attributes:
        seconds: Of the whole command, from its start to its exit.
        from_first_step: Of it, from where the first pack starts (the smallest `started` of provenance.csv: before its
            models are built and compiled) to the exit of the command: all tables are written, all processes gone.
        to_first_step: From the start of the command to the end of its first run.
        runs: Rows of runs.csv by their status.
    """

    seconds: float
    from_first_step: float
    to_first_step: float
    runs: Mapping[str, int]


class Place:
    """A working folder with its own caches, empty at first."""

    def __init__(self, folder: Path) -> None:
        """Work in `folder`."""
        self.folder = folder
        self._studies = 0

    def python(self, *args: str) -> str:
        """Run Python with this checkout's normbench.

        Returns:
            What it prints.

        Raises:
            RuntimeError: If it fails; the message ends with its stderr.
        """
        caches = {
            name: str(self.folder / name.lower())
            for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NORMBENCH_CACHE", "XDG_CACHE_HOME")
        }
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.folder,
            env={**os.environ, **caches, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(args)} exited with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def train(self, *overrides: str, multirun: bool = True) -> Timed:
        """Time `normbench train` on a study that does not exist yet.

        Args:
            *overrides: What to train.
            multirun: Whether it is a sweep.
        """
        self._studies += 1
        study = f"s{self._studies}"
        start = time.time()
        self.python("-m", "normbench", "train", *(["-m"] if multirun else []), *overrides, f"study={study}")
        end = time.time()
        folder = self.folder / "results" / study
        provenance = _rows(folder / "provenance.csv")
        started = [datetime.fromisoformat(row["started"]).timestamp() for row in provenance]
        ended = [begin + float(row["wall_time_s"]) for begin, row in zip(started, provenance, strict=True)]
        runs: dict[str, int] = {}
        for row in _rows(folder / "runs.csv"):
            runs[row["status"]] = runs.get(row["status"], 0) + 1
        return Timed(end - start, end - min(started), min(ended) - start, runs)


@contextmanager
def new_place() -> Iterator[Place]:
    """Work in a new temporary folder, with cold caches."""
    with TemporaryDirectory(prefix="normbench-bench-") as folder:
        yield Place(Path(folder))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))
