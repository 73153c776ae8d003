"""Finds the logs of a study and whether they are up to date with its tables, without pandas."""

import tempfile
from pathlib import Path

from normbench.analysis.folders import table_path
from normbench.record.files import make_folder, write_whole

FORMAT = 2
"""Format version of these logs: older ones are written again."""

_STAMP = ".made_from"


def own_logs(study: Path) -> Path:
    """Return where a study keeps the logs of its cells."""
    return study / "tensorboard" / "study"


def run_logs(study: Path) -> list[Path]:
    """Return the logs of single runs of a study, the newest first."""
    own = own_logs(study)
    found = [log for log in (study / "tensorboard").glob("[!.]*/") if log != own]
    return sorted(found, key=lambda log: (-log.stat().st_mtime, log.name))


def refresh_logs(study: Path) -> Path:
    """Write the logs of a study's cells, unless they exist and are up to date with its tables.

    Returns:
        Their folder.

    Raises:
        StudyError: If a table is missing or damaged, holds no run, or the folder cannot be written to.
    """
    target = own_logs(study)
    stamp, state = target / _STAMP, _state(study)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state:
        return target
    from normbench.dashboard.logs import write_logs

    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=".study.", dir=target.parent) as beside:
        draft = Path(beside) / "new"
        write_logs([study], draft)
        write_whole(draft / _STAMP, [state])
        if target.exists():
            target.rename(Path(beside) / "old")
        draft.rename(target)
    return target


def _state(study: Path) -> str:
    """Return a text that changes with the tables."""
    stats = [path.stat() for name in ("runs.csv", "curves.csv") if (path := table_path(study, name)).is_file()]
    return f"{FORMAT} " + " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)
