import os
import signal
import sys
from pathlib import Path

import pytest
from commands import Command, Result

from normbench.cli import main

# A shell ignores Ctrl-C for what it starts in the background, and every child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


WAITING = ("places", "test_readme", "test_kill")
"""Folders and files whose few tests take minutes: they wait for clusters, commands and timeouts."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use a process more than there are cores: tests in `WAITING` leave theirs idle."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: not any(name in item.path.parts or name == item.path.stem for name in WAITING))


@pytest.fixture
def normbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delenv("NORMBENCH_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NORMBENCH_CACHE", str(tmp_path / "cache"))

    def command(*args: str) -> Result:
        monkeypatch.setattr("sys.argv", ["normbench", *args])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capfd.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return command
