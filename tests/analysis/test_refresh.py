"""Tables that a killed command has left behind, and those that can no longer be written."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from measure.made_up import make_up

from normbench.analysis.refresh import refresh, write_tables
from normbench.record.store import Study


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be opened for writing, not even the lock, as on a read-only file system."""
    opened: Callable[..., object] = Path.open

    def refuse(path: Path, mode: str = "r", **how: str) -> object:
        if mode.startswith(("a", "w")):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, mode, **how)

    monkeypatch.setattr(Path, "open", refuse)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study whose tables are as its shards, but whose stamp was lost, as a copy loses it."""
    made = make_up(tmp_path / "mine", 40)
    write_tables(made)
    (made.folder / ".merged").unlink()
    return made


def test_tables_left_behind_are_written(tmp_path: Path) -> None:
    """Without a word, as all is well then."""
    study = make_up(tmp_path / "mine", 40)
    assert refresh(study.folder) == ""
    assert (study.folder / "runs.csv").read_text().count("\n") == 41


def test_tables_that_hold_every_run_are_current_without_a_stamp(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing needs to be written to see it."""
    make_read_only(monkeypatch)
    assert refresh(study.folder) == ""


@pytest.mark.parametrize("lost", ["a run", "a table"])
def test_what_cannot_be_brought_up_to_date_says_why(study: Study, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """Where a table is missing or another one than the shards make."""
    provenance = study.folder / "provenance.csv"
    if lost == "a run":
        provenance.write_text("".join(provenance.read_text().splitlines(keepends=True)[:-1]))
    else:
        (study.folder / "summary.csv").unlink()
    make_read_only(monkeypatch)
    said = f"the tables of {study.folder} could not be updated: cannot write {study.folder / '.lock'}"
    assert refresh(study.folder) == f"{said}: Read-only file system."


def test_a_damaged_shard_is_named(study: Study) -> None:
    """The tables are read as they are, which is said, not raised."""
    shard = study.folder / "shards" / "0001-000000.json"
    shard.write_text("[")
    assert refresh(study.folder).startswith(f"the tables of {study.folder} could not be updated: {shard}")
