"""Tests of where a run's numbers come from."""

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normbench.record import provenance
from normbench.record.provenance import commit, machine, processor, versions


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a folder, with normbench installed elsewhere, that no repository holds."""
    commit.cache_clear()
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    commit.cache_clear()


def git(folder: Path, *args: str) -> str:
    own = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *own, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.usefixtures("nowhere")
def test_outside_a_repository_there_is_no_commit() -> None:
    """Empty cells, and no error."""
    assert commit() == {"git_commit": "", "git_dirty": ""}


def test_a_repository_without_a_commit_has_none(nowhere: Path) -> None:
    """A fresh repository has nothing to name."""
    git(nowhere, "init", "-q")
    assert commit() == {"git_commit": "", "git_dirty": ""}


def test_the_commit_is_named_and_whether_files_changed(nowhere: Path) -> None:
    """An edited file makes the commit dirty."""
    git(nowhere, "init", "-q")
    (nowhere / "x").write_text("1")
    git(nowhere, "add", "x")
    git(nowhere, "commit", "-q", "-m", "x")
    head = git(nowhere, "rev-parse", "HEAD")
    assert commit() == {"git_commit": head, "git_dirty": "false"}
    (nowhere / "x").write_text("2")
    commit.cache_clear()
    assert commit() == {"git_commit": head, "git_dirty": "true"}


def test_without_git_there_is_no_commit(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine need not have git."""
    monkeypatch.setenv("PATH", str(nowhere))
    assert commit() == {"git_commit": "", "git_dirty": ""}


def test_versions_are_those_installed() -> None:
    """A package that is not installed is an empty cell."""
    assert versions()["torch"] == torch.__version__.partition("+")[0] or versions()["torch"] == torch.__version__
    assert versions()["python"] == platform.python_version()
    assert provenance._version("no-such-package") == ""


def test_the_machine_is_named() -> None:
    """System and processor are told apart."""
    assert machine()["platform"].startswith(platform.system())
    assert processor()
