"""Tests of the lock that keeps two commands from one study."""

import errno
import fcntl
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from normbench.errors import StudyError
from normbench.record.lock import FolderLock


def silent(_: str) -> None:
    """Say nothing."""


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """A second holder waits for the first, and is told once who that is."""
    order: list[str] = []

    def second() -> None:
        with FolderLock(tmp_path).held(order.append):
            order.append("second")

    with FolderLock(tmp_path).held(silent) as taken:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert taken
    assert order == [f"waiting for process {os.getpid()} on {os.uname().nodename}, which is using {tmp_path}", "first", "second"]  # fmt: skip  # noqa: E501


def test_an_owner_may_take_it_again(tmp_path: Path) -> None:
    """It is given back at the end of the outermost."""
    lock = FolderLock(tmp_path)
    with lock.held(silent) as first, lock.held(silent) as second:
        assert (first, second, lock.is_free) == (True, False, False)
        assert not FolderLock(tmp_path).is_free
    assert lock.is_free and FolderLock(tmp_path).is_free


def _hold_and_die(folder: Path) -> None:
    with FolderLock(folder).held(silent):
        os.kill(os.getpid(), 9)


def test_a_dead_owner_holds_nothing(tmp_path: Path) -> None:
    """The kernel gives the lock back, whatever the file says."""
    owner = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(tmp_path,))
    owner.start()
    owner.join()
    assert owner.exitcode == -9
    assert (tmp_path / ".lock").read_text().startswith(f"process {owner.pid} on ")
    said: list[str] = []
    with FolderLock(tmp_path).held(said.append) as taken:
        assert taken
    assert said == []


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work goes on."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    said: list[str] = []
    with FolderLock(tmp_path).held(said.append) as taken:
        assert not taken
    assert said == [f"{tmp_path} is on a file system without locks: run only one command at a time on it."]
    assert FolderLock(tmp_path).is_free


def test_a_lock_in_no_folder_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    with (
        pytest.raises(StudyError, match=r"cannot write .*nowhere/\.lock"),
        FolderLock(tmp_path / "nowhere").held(silent),
    ):
        pass
