"""Finds the training device and sets it up so that the same run gives the same bits."""

import ctypes
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.distributed as dist

from normbench.errors import ConfigError
from normbench.record.provenance import processor

_THREADS_A_CORE = 32
"""Most threads per core. More threads than cores are allowed, to repeat the bits of a larger machine."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""


def find_device(name: str) -> torch.device:
    """Return the device that `engine.device` names.

    Args:
        name: `auto` (CUDA if available, else the CPU), or a torch device such as `cpu`, `cuda:1`, `mps`.

    Returns:
        The device.

    Raises:
        ConfigError: If it is unknown or not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"engine.device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"engine.device={name}: this machine has {torch.cuda.device_count()} CUDA devices.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"engine.device={name}: this machine has no MPS device.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"engine.device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps.")
    return device


def make_deterministic(device: torch.device) -> None:
    """Choose deterministic kernels if a device also has others; call before its first use."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def keep_freed_memory() -> None:
    """Let glibc keep memory that tensors free, for the next step, rather than return it to the system.

    Each step frees and allocates the same buffers, and buffers of megabytes were mapped again page by page: a compiled
    step of 30 runs took 103 us per run, and takes 22 us with this setting. Other C libraries lack it.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@cache
def device_name(device: torch.device) -> str:
    """Return the name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory so far, in MB: of tensors on a GPU, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def find_compiler() -> str | None:
    """Return the C++ compiler that torch.compile uses on the CPU; None if it is missing or does not run."""
    return _working(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))


@cache
def _working(command: str) -> str | None:
    try:
        words = shlex.split(command)
        subprocess.run([*words, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return " ".join([shutil.which(words[0]) or words[0], *words[1:]])


def check_threads(threads: int | None) -> None:
    """Check that the system can run the threads of a training.

    Raises:
        ConfigError: If they are many times the cores: failing to start threads would end the process.
    """
    most = _THREADS_A_CORE * cores()
    if threads is not None and threads > most:
        raise ConfigError(f"engine.threads: got {threads}, expected at most {most} on this machine of {cores()} cores.")


def worker_devices(
    device: torch.device, workers: int | None, *, packs: int, cpus: int, ranks: int = 1
) -> list[torch.device]:
    """Return the device of each worker; fewer than two need no separate process.

    Args:
        device: The device that the user chose.
        workers: Requested processes; None means one per core, or one per GPU if no single GPU was chosen.
        packs: Packs to train; more workers would be idle.
        cpus: Most CPUs that any pack keeps busy.
        ranks: Most ranks of any pack: the first trains on the device of the worker, the others on the next GPUs.
    """
    places = [device]
    if dist.is_available() and dist.is_initialized():
        # The ranks that a launcher started train one run at a time.
        return places
    if device.type == "cuda" and device.index is None:
        places = [torch.device("cuda", index) for index in range(0, torch.cuda.device_count() - ranks + 1, ranks)]
    if workers is None:
        workers = cores() // cpus if device.type == "cpu" else len(places)
    return [places[place % len(places)] for place in range(min(workers, packs))]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextmanager
def threads_restored() -> Iterator[None]:
    """Restore the process's number of threads: from Python, the caller's work and the next plan use it."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
