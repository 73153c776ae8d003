"""Tests of the leases that keep a second command from packs in training."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from normbench.errors import StudyError
from normbench.record import leases
from normbench.record.leases import LIFETIME, Leases
from normbench.record.owners import described


def lease(folder: Path, owner: str, age: float = 0.0) -> Path:
    """Leave the lease of another process on pack 2 of block 1."""
    path = folder / "leases" / "0001-000002"
    path.parent.mkdir(exist_ok=True)
    path.write_text(owner)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_lease_is_held_by_one(tmp_path: Path) -> None:
    """Until it is given back; the holder does not see its own."""
    with Leases(tmp_path) as first:
        first.take(1, 2)
        first.take(1, 2)
        assert first.holders() == {}
        holder = f"{os.getpid()}@{socket.gethostname()}"
        assert Leases(tmp_path).holders() == {(1, 2): holder}
        with pytest.raises(
            StudyError, match=f"^{described(holder)} is training pack 0001-000002 of {tmp_path}: wait for it"
        ):
            Leases(tmp_path).take(1, 2)
        first.drop(1, 2)
        assert Leases(tmp_path).holders() == {}
        first.take(1, 2)
    assert Leases(tmp_path).holders() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_leases_is_not_written_to(tmp_path: Path) -> None:
    """Local commands take none, and look on every start."""
    assert Leases(tmp_path).holders() == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("age", [0.0, 10 * LIFETIME], ids=["new", "old"])
def test_of_this_hosts_processes_it_is_known_whether_they_run(tmp_path: Path, age: float) -> None:
    """However old the lease is: a process may have been stopped for an hour."""
    with subprocess.Popen(["sleep", "60"]) as process:
        lease(tmp_path, f"{process.pid}@{socket.gethostname()}", age)
        assert set(Leases(tmp_path).holders()) == {(1, 2)}
        process.kill()
    assert Leases(tmp_path).holders() == {}
    with Leases(tmp_path) as ours:
        ours.take(1, 2)
        assert len(Leases(tmp_path).holders()) == 1


@pytest.mark.parametrize("owner", ["5@far.away", ""], ids=["of another host", "not yet written"])
def test_other_leases_are_valid_while_they_are_renewed(tmp_path: Path, owner: str) -> None:
    """By the clock of the file system."""
    lease(tmp_path, owner, LIFETIME - 20)
    assert Leases(tmp_path).holders() == {(1, 2): owner}
    lease(tmp_path, owner, LIFETIME + 20)
    assert Leases(tmp_path).holders() == {}


def test_leases_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it takes, and no more."""
    with Leases(tmp_path) as ours:
        ours.take(1, 2)
        path = lease(tmp_path, "5@far.away", 100)
        ours.renew()
        assert time.time() - path.stat().st_mtime > 50
        monkeypatch.setattr(leases, "RENEWAL", -1.0)
        ours.renew()
        assert time.time() - path.stat().st_mtime < 50


def test_a_lease_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "leases").touch()
    with pytest.raises(StudyError, match="leases"):
        Leases(tmp_path).take(1, 2)


def test_a_jobs_lease_is_valid_as_long_as_its_cluster_knows_it(tmp_path: Path) -> None:
    """Queued jobs renew nothing; where the cluster is not known, the age of the lease decides."""
    path = lease(tmp_path, "job 7", 10 * LIFETIME)
    assert Leases(tmp_path).holders() == {}
    assert Leases(tmp_path, runs=lambda job: job == "job 7").holders() == {(1, 2): "job 7"}
    os.utime(path)
    assert Leases(tmp_path).holders() == {(1, 2): "job 7"}
    assert Leases(tmp_path, runs=lambda _: False).holders() == {}


def test_a_job_takes_the_lease_that_was_written_for_it(tmp_path: Path) -> None:
    """Whoever comes first, the command that queued it or the job; no other job may."""
    Leases(tmp_path, job="job 7").take(1, 2)
    Leases(tmp_path, job="job 7").take(1, 2)
    with pytest.raises(StudyError, match=r"^job 7 is training pack 0001-000002"):
        Leases(tmp_path, job="job 8").take(1, 2)


def test_owners_are_described() -> None:
    """As the user knows them."""
    assert [described(name) for name in ("5@far.away", "job 7", "")] == [
        "process 5 on far.away",
        "job 7",
        "another command",
    ]
