"""The owner of a file that says whose it is: a process on a host, and whether it is known to have ended."""

import os
import socket
from pathlib import Path


def owner() -> str:
    """Return this process's name among those of all machines that share a folder, such as ``1234@node7``."""
    return f"{os.getpid()}@{socket.gethostname()}"


def has_ended(name: str) -> bool:
    """Return whether an owner has ended; of processes of other hosts nothing is known.

    Args:
        name: What `owner` returned to it.
    """
    number, _, host = name.partition("@")
    return host == socket.gethostname() and number.isdecimal() and not _is_running(int(number))


def is_here(name: str) -> bool:
    """Return whether an owner is a process of this host."""
    return name.partition("@")[2] == socket.gethostname()


def described(name: str) -> str:
    """Return an owner in words; a job of a cluster is named in words already.

    Args:
        name: What a file says; empty if it is just being written.
    """
    number, _, host = name.partition("@")
    return f"process {number} on {host}" if host else name or "another command"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        # Other systems than Linux have no such file.
        return True
    # A process that has ended stays in the table until its parent asks for it: in a container perhaps forever.
    return state != "Z"
