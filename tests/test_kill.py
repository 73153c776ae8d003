"""Whole commands, killed at any moment: nothing is lost, and what they leave is the same byte for byte."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from normbench.record.lock import FolderLock

TABLES = ("runs.csv", "curves.csv", "summary.csv")
AXES = ("norm=batch,none", "lr=0.1,0.2,1e9", "seed=range(6)")
SWEEP = ["-m", "model.width=16", "steps=60", "eval_every=20", "engine.workers=2", "engine.mode=solo"]
KILLS = int(os.environ.get("NORMBENCH_KILLS", "20"))
"""Kills of the kill test: scripts/soak asks for more."""

SEED = int(os.environ.get("NORMBENCH_KILLS_SEED", "0"))

pytestmark = pytest.mark.slow


def start(results: Path, axes: Sequence[str] = AXES, *, file_size: int = -1) -> subprocess.Popen[str]:
    """Start a sweep as the leader of a process group of its own, which may write files of so many bytes."""
    return subprocess.Popen(
        [sys.executable, "-m", "normbench", "train", *SWEEP, *axes, f"results_dir={results}"],
        cwd=results.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (file_size, file_size)),
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code of a sweep and what it said."""
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def tables(results: Path) -> dict[str, bytes]:
    return {name: (results / "default" / name).read_bytes() for name in TABLES}


def shards(results: Path) -> int:
    return len(list((results / "default" / "shards").glob("*.json")))


def wait_for(there: Callable[[], object]) -> None:
    """Wait until a moment has come."""
    for _ in range(3000):
        if there():
            return
        time.sleep(0.01)
    raise TimeoutError


def kill(process: subprocess.Popen[str], results: Path, moments: random.Random) -> bool:
    """Kill a command or its whole group at some moment; return whether it was still there."""
    if moments.random() < 0.75:
        # The moments that matter are those with something on the disk.
        wait_for(lambda: results.exists() or process.poll() is not None)
    time.sleep(moments.uniform(0, 1.2))
    children = workers(process)
    (os.killpg if moments.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(is_alive(pid) for pid in children))
    return process.returncode == -signal.SIGKILL


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of a command's children."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody has asked about does not."""
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of a sweep that nobody disturbed."""
    results = tmp_path_factory.mktemp("whole") / "results"
    code, said = finish(start(results))
    assert code == 0, said
    return tables(results)


def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """The command, or all of its processes at once, from its first import to its last table."""
    moments = random.Random(SEED)
    kills, left = 0, []
    while kills < KILLS:
        results = tmp_path / f"results{kills}"
        for _ in range(4):
            kills += kill(start(results), results, moments)
            left.append(shards(results))
        code, said = finish(start(results))
        assert code == 0, said
        assert tables(results) == uninterrupted
    assert any(0 < count < 36 for count in left), "no kill came while runs were being trained"


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_worker_is_replaced(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """Its run is trained again, and the user is told."""
    results = tmp_path / "results"
    process = start(results)
    wait_for(lambda: shards(results))
    os.kill(random.Random(SEED).choice(workers(process)), signal.SIGKILL)
    code, said = finish(process)
    assert code == 0, said
    assert "worker killed by signal 9" in said or shards(results) == 36
    assert tables(results) == uninterrupted


def test_two_commands_at_once_share_one_study(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """Both wait, saying for whom; one trains, and the other finds everything done."""
    results = tmp_path / "results"
    folder = results / "default"
    folder.mkdir(parents=True)
    with FolderLock(folder).held(print):
        both = [start(results), start(results)]
        for process in both:
            assert process.stdout is not None
            assert any(f"waiting for process {os.getpid()}" in line for line in process.stdout)
    ended = [finish(process) for process in both]
    assert [code for code, _ in ended] == [0, 0], ended
    assert sum("36 of them done already" in said for _, said in ended) == 1, ended
    assert tables(results) == uninterrupted
    assert len((folder / "plan.jsonl").read_text().splitlines()) == 1 + 2 * 36


def test_a_waiting_command_goes_on_for_a_killed_one(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """A dead owner holds no lock."""
    results = tmp_path / "results"
    first = start(results)
    wait_for(lambda: shards(results))
    second = start(results)
    first.kill()
    finish(first)
    code, said = finish(second)
    assert code == 0, said
    assert tables(results) == uninterrupted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 128 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount")
    if done.returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_harms_nothing(small_disk: Path, uninterrupted: dict[str, bytes]) -> None:
    """With room again, the same command ends as if there had always been."""
    results = small_disk / "results"
    finish(start(results, ("norm=batch", "seed=0")))
    before = tables(results)
    code, said = finish(start(results))
    assert code == 1, said
    assert "No space left on device" in said
    assert "Traceback" not in said
    after = tables(results)
    assert all(after[name] == before[name] or after[name].startswith(before[name][:60]) for name in TABLES)
    assert list((results / "default" / "shards").glob(".*")) == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    code, said = finish(start(results))
    assert code == 0, said
    assert tables(results) == uninterrupted


def test_a_file_that_may_not_grow_is_told_and_harms_nothing(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """As with a full disk, for whoever may not mount one: plan.jsonl is the first that is too long."""
    results = tmp_path / "results"
    code, said = finish(start(results, file_size=20_000))
    assert code == 1, said
    assert "File too large" in said
    assert "Traceback" not in said
    code, said = finish(start(results))
    assert code == 0, said
    assert tables(results) == uninterrupted
