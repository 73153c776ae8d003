"""Tests of files that are written whole or not at all."""

import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import wait_until

from normbench.errors import StudyError
from normbench.record.files import append_lines, make_folder, remove_drafts, write_whole


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk full as the data reach it."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every change as a read-only file system does: also to remove what is not there."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("normbench.record.files.open", refuse, raising=False)
    for place, name in ((Path, "open"), (Path, "unlink"), (os, "truncate")):
        monkeypatch.setattr(place, name, refuse)


def test_writes_every_line(tmp_path: Path) -> None:
    """Line ends are as given, text is UTF-8, and no draft is left."""
    path = tmp_path / "x.csv"
    write_whole(path, ["a,é\n", '"b\r\n"\n'])
    assert path.read_bytes() == 'a,é\n"b\r\n"\n'.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_writes_what_utf8_cannot_hold(tmp_path: Path) -> None:
    """An odd file name in an error message does not keep a table from being written."""
    write_whole(tmp_path / "x", ["bad \udcff name\n"])
    assert (tmp_path / "x").read_text() == "bad \\udcff name\n"


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """What stood there is unharmed, what was half written is gone."""
    path = tmp_path / "x.csv"
    path.write_text("old\n")
    with pytest.raises(StudyError, match=r"cannot write .*x\.csv: No space left on device"):
        write_whole(path, ["new\n"])
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    """The lines may come from a generator that fails, or the user may stop."""
    path = tmp_path / "x.csv"
    path.write_text("old\n")

    def lines() -> Iterator[str]:
        yield "new\n"
        raise error

    with pytest.raises(error):
        write_whole(path, lines())
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("write", [write_whole, append_lines])
def test_a_read_only_file_system_is_named(tmp_path: Path, write: Callable[[Path, list[str]], None]) -> None:
    """That there is no half of it to clean up, and no way to, is no second error."""
    with pytest.raises(StudyError, match=r"cannot write .*/x: Read-only file system"):
        write(tmp_path / "x", ["new\n"])


@pytest.mark.usefixtures("read_only")
def test_a_file_that_a_read_only_file_system_holds_stays(tmp_path: Path) -> None:
    """An append that could not begin has nothing to cut back."""
    (tmp_path / "x").touch()
    with pytest.raises(StudyError, match="Read-only file system"):
        append_lines(tmp_path / "x", ["new\n"])


def test_cannot_write_where_there_is_no_folder(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(StudyError, match=r"cannot write .*nowhere/x: No such file or directory"):
        write_whole(tmp_path / "nowhere" / "x", [])


def test_appends(tmp_path: Path) -> None:
    """The file is made, then grows."""
    path = tmp_path / "x"
    append_lines(path, ["a\n"])
    append_lines(path, ["b\n", "c\n"])
    assert path.read_text() == "a\nb\nc\n"


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("before", ["", "old\n"], ids=["empty", "with lines"])
def test_a_full_disk_cuts_an_append_back(tmp_path: Path, before: str) -> None:
    """No half of the new lines stays."""
    path = tmp_path / "x"
    path.write_text(before)
    with pytest.raises(StudyError, match="No space left on device"):
        append_lines(path, ["new\n"])
    assert path.read_text() == before


def test_drafts_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """Those of this host whose process has ended, and those of early versions; nothing else is."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = socket.gethostname()
    removed = {f".runs.csv.{ended.pid}@{host}.tmp", ".runs.csv.12.tmp"}
    kept = {f".runs.csv.{os.getpid()}@{host}.tmp", f".runs.csv.{ended.pid}@far.away.tmp", "runs.csv", ".lock"}
    for name in removed | kept:
        (tmp_path / name).touch()
    remove_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_writer_that_nobody_waited_for_has_ended(tmp_path: Path) -> None:
    """Its number is still in the system's table: where nobody waits for orphans, it is so forever."""
    with subprocess.Popen(["sleep", "60"]) as writer:
        draft = tmp_path / f".runs.csv.{writer.pid}@{socket.gethostname()}.tmp"
        draft.touch()
        remove_drafts(tmp_path)
        assert draft.exists()
        writer.kill()
        wait_until(lambda: "(sleep) Z" in Path(f"/proc/{writer.pid}/stat").read_text())
        remove_drafts(tmp_path)
        assert not draft.exists()


def test_a_draft_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may forbid it, though its lock could be taken."""
    (tmp_path / ".runs.csv.12.tmp").touch()

    def unlink(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(StudyError, match=r"cannot remove .*\.runs\.csv\.12\.tmp: Permission denied"):
        remove_drafts(tmp_path)


def test_makes_a_folder_and_its_parents(tmp_path: Path) -> None:
    """It may be there already, and nothing is left in it."""
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_is_in_the_way_of_a_folder(tmp_path: Path) -> None:
    """The message says what to do."""
    (tmp_path / "a").touch()
    with pytest.raises(
        StudyError, match=r"cannot create folder .*/a/b: Not a directory\. Choose another: results_dir="
    ):
        make_folder(tmp_path / "a" / "b")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out before the first run has been trained for nothing."""

    def touch(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(StudyError, match=r"cannot write to .*: Permission denied\. Choose another: results_dir="):
        make_folder(tmp_path)
