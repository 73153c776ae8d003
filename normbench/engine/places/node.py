"""What a process on a node of a cluster must have and do before it trains for a command elsewhere."""

import os
import sys
from dataclasses import dataclass, field
from functools import cache

import torch

from normbench.engine.device import keep_freed_memory, make_deterministic
from normbench.record.provenance import versions
from normbench.training.compiled import name_compilers_folder


@dataclass(frozen=True)
class Origin:
    """Where the command stands; its workers stand there too.

    Attributes:
        folder: Its working directory.
        path: Where it imports from.
        versions: Its versions of the packages that decide on results, as pairs.
    """

    folder: str = field(default_factory=os.getcwd)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    versions: tuple[tuple[str, str], ...] = field(default_factory=lambda: own_versions())


def own_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the packages that a node must have just so."""
    found = versions()
    return tuple((name, found[name]) for name in ("normbench", "torch"))


def unlike(node: str, theirs: tuple[tuple[str, str], ...], ours: tuple[tuple[str, str], ...]) -> str | None:
    """Return in words how a node differs from the machine of the command; None if it does not.

    Args:
        node: Its name.
        theirs: Its versions.
        ours: Those of the command.
    """
    for (name, found), (_, wanted) in zip(theirs, ours, strict=True):
        if found != wanted:
            return f"node {node} has {name} {found}, this machine {wanted}: install one version on all."
    return None


@cache
def stand_there(device: torch.device, origin: Origin) -> None:
    """Prepare this process, which trains for one command only.

    Args:
        device: Where it trains.
        origin: Where the command stands.
    """
    os.chdir(origin.folder)
    sys.path.extend(entry for entry in origin.path if entry not in sys.path)
    name_compilers_folder()
    keep_freed_memory()
    make_deterministic(device)
