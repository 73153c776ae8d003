"""The ranks of a run: this process is rank 0, the others follow it and write nothing.

Rank 0 starts them for each run, unless torchrun or srun started them with the command (`leading`).
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from shutil import rmtree
from tempfile import mkdtemp
from typing import NamedTuple

import torch
import torch.distributed as dist

from normbench.engine.device import find_device, keep_freed_memory, make_deterministic
from normbench.engine.interrupt import signals_held
from normbench.engine.launchers import Launched, launched
from normbench.engine.processes import end_with, main_hidden
from normbench.engine.work import load_data
from normbench.errors import described
from normbench.plan import Pack
from normbench.ranks import ALONE, Ranks
from normbench.spec import Engine, Requested
from normbench.training.solo import train

PATIENCE = timedelta(minutes=5)
"""Longest time that a rank waits for another: all compute the same, evaluations included."""

_COMMAND = timedelta(days=365)
"""Longest time that a rank which a launcher started waits for the next run: a command may plan, or wait, for long."""

_LAST_WORDS = 2.0
"""Seconds that a rank has to end after its connections have closed."""


class RankError(RuntimeError):
    """A rank died, or did not answer in time."""


class _Start(NamedTuple):
    """What a started rank needs to know.

    Attributes:
        rank: Its number, above 0.
        size: Number of ranks.
        meeting: Where the ranks find each other, as `init_process_group` takes it.
        device: Where it trains.
        threads: Its threads.
        requested: The run.
        command: Process id of rank 0.
    """

    rank: int
    size: int
    meeting: str
    device: torch.device
    threads: int
    requested: Requested
    command: int


class _Follower(NamedTuple):
    """A started rank.

    Attributes:
        name: Its number, in words.
        process: The process.
        words: What it says: an empty text when it is ready, and how it failed.
    """

    name: str
    process: SpawnProcess
    words: Connection


class _Told(NamedTuple):
    requested: Requested
    threads: int


class Led:
    """The ranks that a launcher started, in each of them.

    Args:
        found: The place of this process.
        device: Where the command trains; on GPUs each process takes one.
    """

    def __init__(self, found: Launched, device: torch.device) -> None:
        place = torch.device("cuda", found.local % torch.cuda.device_count()) if device.type == "cuda" else device
        self.ranks = _join(found.meeting, found.rank, found.size, place)
        self._device = place
        group = dist.new_group(backend="gloo", timeout=_COMMAND)
        assert isinstance(group, dist.ProcessGroup), "every rank is a member"
        self._runs = group

    def tell(self, told: _Told | None) -> None:
        """Let the others train a run, or end."""
        dist.broadcast_object_list([told], src=0, group=self._runs)

    def follow(self) -> None:
        """Train what rank 0 trains, until it ends; an error ends this process."""
        make_deterministic(self._device)
        try:
            while (told := self._heard()) is not None:
                torch.set_num_threads(told.threads)
                train(told.requested.run, load_data(told.requested.data), device=self._device, ranks=self.ranks)
        except Exception as error:
            print(f"normbench: rank {self.ranks.rank} of {self.ranks.size}: {described(error)}", file=sys.stderr)
            raise SystemExit(1) from error

    def _heard(self) -> _Told | None:
        box: list[_Told | None] = [None]
        dist.broadcast_object_list(box, src=0, group=self._runs)
        return box[0]


_led: Led | None = None
"""The ranks that a launcher started, while a command has them: a process group, too, exists once in a process."""


@contextmanager
def leading(engine: Engine) -> Iterator[bool]:
    """Join the ranks that torchrun or srun started, and yield whether this process carries the command out.

    Rank 0 does. In the others the context first trains what rank 0 does, and yields when that has ended.

    Args:
        engine: What the user asks for.
    """
    global _led
    found = launched(engine.ranks)
    if found is None:
        yield True
        return
    led = Led(found, find_device(engine.device))
    try:
        if found.rank:
            led.follow()
        else:
            _led = led
        yield not found.rank
    finally:
        if _led is not None:
            # A rank that has died ended a run with its error.
            with suppress(RuntimeError):
                led.tell(None)
        _led = None
        dist.destroy_process_group()


@contextmanager
def joined(requested: Requested, pack: Pack, device: torch.device) -> Iterator[Ranks]:
    """Let the other ranks train a run too, and yield the place of this process among them.

    Args:
        requested: The run.
        pack: Its pack, with the number of ranks; 1 starts nothing.
        device: Where this process trains; the others take the next GPUs.

    Raises:
        RankError: If a rank dies or does not answer.
    """
    if pack.ranks == 1:
        yield ALONE
        return
    if _led is not None:
        try:
            _led.tell(_Told(requested, pack.threads))
            yield _led.ranks
        except RuntimeError as error:
            if reason := _lost(error):
                raise RankError(reason) from error
            raise
        return
    folder = mkdtemp(prefix="normbench-ranks-")
    meeting = f"file://{folder}/meeting"
    followers: list[_Follower] = []
    try:
        for rank in range(1, pack.ranks):
            place = torch.device("cuda", (device.index or 0) + rank) if device.type == "cuda" else device
            start = _Start(rank, pack.ranks, meeting, place, pack.threads, requested, os.getpid())
            followers.append(_started(start))
        for follower in followers:
            _await(follower)
        yield _join(meeting, 0, pack.ranks, device)
    except RankError:
        raise
    except Exception as error:
        if reason := _death(followers) or _lost(error):
            raise RankError(reason) from error
        raise
    finally:
        # They write nothing: what they still compute is not needed.
        for follower in followers:
            follower.process.kill()
        for follower in followers:
            follower.process.join()
            follower.words.close()
        if dist.is_initialized():
            dist.destroy_process_group()
        rmtree(folder)


def _started(start: _Start) -> _Follower:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_follow, args=(start, theirs))
    # Slurm sends the last one to all processes of a job, to which rank 0 reacts: the others keep it blocked.
    with signals_held(signal.SIGUSR2), main_hidden():
        process.start()
    theirs.close()
    return _Follower(f"rank {start.rank} of {start.size}", process, ours)


def _await(follower: _Follower) -> None:
    """Wait until a rank has loaded its data: whoever joins waits long for those that never come."""
    if not follower.words.poll(PATIENCE.total_seconds()):
        raise RankError(f"{follower.name} did not start within {PATIENCE.total_seconds():.0f} s")
    if text := follower.words.recv():
        raise RankError(f"{follower.name}: {text}")


def _follow(start: _Start, words: Connection) -> None:
    """Train a run as one of its ranks; an error is told to rank 0."""
    end_with(start.command)
    torch.set_num_threads(start.threads)
    keep_freed_memory()
    make_deterministic(start.device)
    try:
        dataset = load_data(start.requested.data)
        words.send("")
        ranks = _join(start.meeting, start.rank, start.size, start.device)
        train(start.requested.run, dataset, device=start.device, ranks=ranks)
    except Exception as error:
        if not _lost(error):
            words.send(described(error))
        raise SystemExit(1) from None


def _join(meeting: str, rank: int, size: int, device: torch.device) -> Ranks:
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, meeting, rank=rank, world_size=size, timeout=PATIENCE)
    return Ranks(rank, size)


def _death(followers: Sequence[_Follower]) -> str:
    """Return how a rank died; empty if none did, or if all just lost their connections."""
    for name, process, words in followers:
        process.join(_LAST_WORDS)
        code = process.exitcode
        with suppress(EOFError):
            if code is not None and words.poll() and (text := words.recv()):
                return f"{name}: {text}"
        if code is not None and code < 0:
            return f"{name} was killed by signal {-code}"
        if code not in (None, 0, 1):
            return f"{name} ended with exit code {code}"
    return ""


def _lost(error: Exception) -> str:
    """Return what an error of an exchange means; empty if it is another error."""
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    if "timed out" in text:
        return f"a rank did not answer within {PATIENCE.total_seconds():.0f} s"
    return "another rank has ended; its own messages say why" if "connection closed" in text else ""
