"""Starts the ranks of a run: this process is rank 0, the others follow it and write nothing."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from shutil import rmtree
from tempfile import mkdtemp
from typing import NamedTuple

import torch
import torch.distributed as dist

from normbench.engine.device import keep_freed_memory, make_deterministic
from normbench.engine.interrupt import signals_held
from normbench.engine.processes import end_with, main_hidden
from normbench.engine.work import load_data
from normbench.errors import described
from normbench.plan import Pack
from normbench.ranks import ALONE, Ranks
from normbench.spec import Requested
from normbench.training.solo import train

PATIENCE = timedelta(minutes=5)
"""Longest time that a rank waits for another: all compute the same, evaluations included."""

_LAST_WORDS = 2.0
"""Seconds that a rank has to end after its connections have closed."""


class RankError(RuntimeError):
    """A rank died, or did not answer in time."""


class _Start(NamedTuple):
    """What a started rank needs to know.

    Attributes:
        rank: Its number, above 0.
        size: Number of ranks.
        meeting: File in which the ranks find each other.
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
    process: SpawnProcess
    words: Connection


@contextmanager
def joined(requested: Requested, pack: Pack, device: torch.device) -> Iterator[Ranks]:
    """Start the other ranks of a run, and yield the place of this process among them.

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
    folder = mkdtemp(prefix="normbench-ranks-")
    meeting = f"{folder}/meeting"
    followers: list[_Follower] = []
    try:
        for rank in range(1, pack.ranks):
            place = torch.device("cuda", (device.index or 0) + rank) if device.type == "cuda" else device
            start = _Start(rank, pack.ranks, meeting, place, pack.threads, requested, os.getpid())
            followers.append(_started(start))
        yield _join(meeting, 0, pack.ranks, device)
    except Exception as error:
        if reason := _death(followers) or _silence(error):
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
    with signals_held(), main_hidden():
        process.start()
    theirs.close()
    return _Follower(process, ours)


def _follow(start: _Start, words: Connection) -> None:
    """Train a run as one of its ranks; an error is told to rank 0."""
    end_with(start.command)
    torch.set_num_threads(start.threads)
    keep_freed_memory()
    make_deterministic(start.device)
    try:
        ranks = _join(start.meeting, start.rank, start.size, start.device)
        train(start.requested.run, load_data(start.requested.data), device=start.device, ranks=ranks)
    except Exception as error:
        words.send(described(error))
        raise SystemExit(1) from None


def _join(meeting: str, rank: int, size: int, device: torch.device) -> Ranks:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE)
    return Ranks(rank, size)


def _death(followers: Sequence[_Follower]) -> str:
    """Return how the first rank died that did not just lose its connection to another; empty if all are alive."""
    size = len(followers) + 1
    killed, failed = [], []
    for rank, (process, words) in enumerate(followers, start=1):
        process.join(_LAST_WORDS)
        code = process.exitcode
        if code is None:
            continue
        name = f"rank {rank} of {size}"
        if code < 0:
            killed.append(f"{name} was killed by signal {-code}")
        elif words.poll():
            failed.append(f"{name}: {words.recv()}")
        else:
            failed.append(f"{name} ended with exit code {code}")
    return next(iter((*killed, *failed)), "")


def _silence(error: Exception) -> str:
    silent = isinstance(error, RuntimeError) and "timed out" in str(error).lower()
    return f"a rank did not answer within {PATIENCE.total_seconds():.0f} s" if silent else ""
