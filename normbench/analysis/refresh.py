"""Keeps the tables up to date with the shards, also after the command that wrote the shards was killed."""

from pathlib import Path

from normbench.errors import StudyError
from normbench.record.files import write_whole
from normbench.record.store import Study
from normbench.record.tables import merge, provenance_text

_TABLES = ("runs.csv", "curves.csv", "summary.csv", "provenance.csv")


def write_tables(study: Study) -> None:
    """Write runs.csv, curves.csv, provenance.csv and summary.csv of a study from its shards.

    Raises:
        StudyError: If a shard is damaged or a table cannot be written.
    """
    with study.held():
        state = study.state()
        if merge(study):
            # A command that trains imports pandas last, so that its first step comes sooner.
            from normbench.analysis.study import load_runs
            from normbench.analysis.summary import write_summary

            write_summary(load_runs(study.folder), study.folder / "summary.csv")
            write_whole(_stamp(study), [state])


def is_current(study: Study) -> bool:
    """Return whether the tables hold everything in the shards; this looks at two folders and reads no shard."""
    stamp = _stamp(study)
    if not stamp.is_file() or not all((study.folder / name).is_file() for name in _TABLES):
        return False
    return stamp.read_text(encoding="utf-8") == study.state()


def refresh(folder: Path) -> str:
    """Write the tables of a study again if a killed command left them out of date.

    Args:
        folder: The study's.

    Returns:
        A message for the user; empty if all is well.
    """
    study = Study(folder)
    if not (folder / "shards").is_dir() or is_current(study):
        return ""
    try:
        if not study.is_free:
            return f"a command is running on {folder}: its tables are updated when it ends."
        write_tables(study)
    except StudyError as error:
        return "" if _hold_every_record(study) else f"the tables of {folder} could not be updated: {error}"
    return ""


def _hold_every_record(study: Study) -> bool:
    """Return whether provenance.csv, the last table that `merge` writes, matches the shards."""
    path = study.folder / "provenance.csv"
    if not all((study.folder / name).is_file() for name in _TABLES):
        return False
    try:
        expected = provenance_text(study)
    except StudyError:
        return False  # `refresh` tells which shard is damaged.
    return path.read_bytes() == expected.encode("utf-8", "backslashreplace")


def _stamp(study: Study) -> Path:
    return study.folder / ".merged"
