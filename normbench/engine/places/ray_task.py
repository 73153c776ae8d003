"""What a Ray worker does: it trains an assignment, or says what its node has."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

from normbench.engine.attempt import Attempt
from normbench.engine.device import find_compiler, keep_freed_memory, make_deterministic
from normbench.engine.places.place import Duty, carry_out
from normbench.engine.schedule import Assignment
from normbench.errors import StudyError
from normbench.record.provenance import versions
from normbench.training.compiled import name_compilers_folder


@dataclass(frozen=True)
class Origin:
    """Where the command stands; its workers stand there too.

    Attributes:
        folder: Its working directory.
        path: Where it imports from.
    """

    folder: str = field(default_factory=os.getcwd)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))


@dataclass(frozen=True)
class NodeFacts:
    """What a node has.

    Attributes:
        versions: Of packages.
        compiler: Whether it has a C++ compiler.
        sees_folder: Whether it sees the command's working directory.
    """

    versions: Mapping[str, str]
    compiler: bool
    sees_folder: bool


def node_facts(folder: Path) -> NodeFacts:
    """Return what this node has."""
    return NodeFacts(versions(), find_compiler() is not None, folder.is_dir())


def train(assignment: Assignment, duty: Duty, device: torch.device, origin: Origin) -> Attempt | StudyError:
    """Train an assignment in this process; the command saves its records.

    Args:
        assignment: A pack, or one run of it.
        duty: The instructions.
        device: Where to train.
        origin: Where the command stands.
    """
    _set_up(device, origin)
    if not duty.folder.is_dir():
        return StudyError(f"node {os.uname().nodename} does not see {duty.folder}: put the study on a shared disk.")
    return carry_out(assignment, duty, device, keep=False)


@cache
def _set_up(device: torch.device, origin: Origin) -> None:
    """Prepare this process; Ray gives it one task after another, all of one command."""
    os.chdir(origin.folder)
    sys.path.extend(entry for entry in origin.path if entry not in sys.path)
    name_compilers_folder()
    keep_freed_memory()
    make_deterministic(device)
