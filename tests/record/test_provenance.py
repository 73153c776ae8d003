"""Tests of where a run's numbers come from."""

import hashlib
import platform
import re
import subprocess
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normbench.engine.rows import provenance_cells
from normbench.engine.work import Work
from normbench.plan import Pack
from normbench.record import provenance
from normbench.record.provenance import commit, machine, processor, versions
from normbench.spec import Component, Requested, Run


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
    assert commit() == {"git_commit": "", "git_dirty": "", "git_diff": ""}


def test_a_repository_without_a_commit_has_none(nowhere: Path) -> None:
    """A fresh repository has nothing to name."""
    git(nowhere, "init", "-q")
    assert commit() == {"git_commit": "", "git_dirty": "", "git_diff": ""}


@pytest.fixture
def checkout(nowhere: Path) -> Path:
    """Stand in a clean repository of one Python file."""
    git(nowhere, "init", "-q")
    (nowhere / "x.py").write_text("1\n")
    (nowhere / ".gitignore").write_text("ignored.py\n")
    git(nowhere, "add", ".")
    git(nowhere, "commit", "-q", "-m", "x")
    return nowhere


def asked_anew() -> dict[str, str]:
    commit.cache_clear()
    return commit()


def test_a_clean_commit_is_named(checkout: Path) -> None:
    """Nothing changed, so that there is nothing to hash."""
    head = git(checkout, "rev-parse", "HEAD")
    assert commit() == {"git_commit": head, "git_dirty": "false", "git_diff": ""}


def test_an_edited_file_makes_the_commit_dirty(checkout: Path) -> None:
    """The hash is that of git's own diff, so that anybody can check it."""
    (checkout / "x.py").write_text("2\n")
    diff = subprocess.run(["git", "diff", "--full-index", "HEAD"], cwd=checkout, check=True, capture_output=True).stdout
    assert asked_anew()["git_dirty"] == "true"
    assert commit()["git_diff"] == hashlib.sha256(diff).hexdigest()


def test_different_edits_have_different_hashes(checkout: Path) -> None:
    """Two states of a dirty tree are told apart, and going back brings the hash back."""
    found = []
    for text in ("2\n", "3\n", "2\n"):
        (checkout / "x.py").write_text(text)
        found.append(asked_anew()["git_diff"])
    assert found[0] == found[2] != found[1]


def test_what_stands_in_the_index_counts(checkout: Path) -> None:
    """A change is one before it is committed, staged or not."""
    (checkout / "x.py").write_text("2\n")
    git(checkout, "add", "x.py")
    assert asked_anew()["git_dirty"] == "true"


@pytest.mark.parametrize("name", ["new.py", "conf/norm/mine.yaml", "a name.yml", "\u00fc.py"])
def test_a_new_code_file_makes_the_commit_dirty(checkout: Path, name: str) -> None:
    """A norm that was not added yet decides results; its text enters the hash."""
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for text in ("1", "2"):
        path.write_text(text)
        found.append(asked_anew())
    assert [values["git_dirty"] for values in found] == ["true", "true"]
    assert found[0]["git_diff"] != found[1]["git_diff"]


@pytest.mark.parametrize("name", ["data/x.bin", "notes.txt", "ignored.py", "results/mine/runs.csv", "results/plot.py"])
def test_a_new_file_that_decides_no_result_leaves_the_commit_clean(checkout: Path, name: str) -> None:
    """A study's own files must not make its later runs look different."""
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1")
    assert asked_anew()["git_dirty"] == "false"


def test_a_changed_reference_result_leaves_the_commit_clean(checkout: Path) -> None:
    """Measuring writes tracked tables, and is no change of the code."""
    path = checkout / "results" / "reference" / "bench.csv"
    path.parent.mkdir(parents=True)
    path.write_text("1")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "y")
    path.write_text("2")
    assert asked_anew()["git_dirty"] == "false"


def test_the_folder_inside_the_repository_does_not_matter(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is seen from a folder beside it."""
    (checkout / "deep").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(checkout / "deep" / "provenance.py"))
    (checkout / "x.py").write_text("2\n")
    (checkout / "new.py").write_text("2\n")
    seen = asked_anew()
    monkeypatch.setattr(provenance, "__file__", str(checkout / "provenance.py"))
    assert seen["git_dirty"] == "true"
    assert asked_anew() == seen


def test_the_users_git_config_does_not_change_the_hash(checkout: Path) -> None:
    """The same edit has the same hash for everyone."""
    (checkout / "x.py").write_text("2\n")
    before = asked_anew()["git_diff"]
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "false")
    git(checkout, "config", "diff.noprefix", "true")
    git(checkout, "config", "diff.context", "9")
    assert asked_anew()["git_diff"] == before


def test_provenance_costs_a_run_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, commit and machine are asked for once a process; a line takes well under 50 microseconds."""
    part = Component("x", {})
    run = Run(part, part, part, part, part, 2, None, 0.1, 0, 1, None, None, None)
    work = Work(1, 0, Pack(("a",), "solo", 1, "a test"), {"a": Requested(run)})
    names = ("device", "device_name", "started", "wall_time_s", "peak_memory_mb", "norm_layers", "remark")
    measured = dict.fromkeys(names, 1)
    provenance_cells("a", work, **measured)

    def called(*args: object, **more: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(subprocess, "run", called)
    seconds = min(timeit.repeat(lambda: provenance_cells("a", work, **measured), repeat=20, number=20)) / 20
    assert seconds < 50e-6


def test_without_git_there_is_no_commit(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine need not have git."""
    monkeypatch.setenv("PATH", str(nowhere))
    assert commit() == {"git_commit": "", "git_dirty": "", "git_diff": ""}


def test_versions_are_those_installed() -> None:
    """A package that is not installed is an empty cell."""
    assert versions()["torch"] == torch.__version__.partition("+")[0] or versions()["torch"] == torch.__version__
    assert versions()["python"] == platform.python_version()
    assert provenance._version("no-such-package") == ""


def test_the_machine_is_named() -> None:
    """System and processor are told apart."""
    assert machine()["platform"].startswith(platform.system())
    assert re.fullmatch(r"(\S+ [\d.]+)?", machine()["compiler"])
    assert processor()
