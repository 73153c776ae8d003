"""What a Ray worker does: it trains an assignment, or says what its node has."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from normbench.engine.attempt import Attempt
from normbench.engine.device import find_compiler
from normbench.engine.places.node import Origin, own_versions, stand_there
from normbench.engine.places.place import Duty, carry_out
from normbench.engine.schedule import Assignment
from normbench.errors import StudyError


@dataclass(frozen=True)
class NodeFacts:
    """What a node has.

    Attributes:
        versions: Of the packages that a node must have just so, as pairs.
        compiler: Whether it has a C++ compiler.
        sees_folder: Whether it sees the command's working directory.
    """

    versions: tuple[tuple[str, str], ...]
    compiler: bool
    sees_folder: bool


def node_facts(folder: Path) -> NodeFacts:
    """Return what this node has."""
    return NodeFacts(own_versions(), find_compiler() is not None, folder.is_dir())


def train(assignment: Assignment, duty: Duty, device: torch.device, origin: Origin) -> Attempt | StudyError:
    """Train an assignment in this process; the command saves its records.

    Args:
        assignment: A pack, or one run of it.
        duty: The instructions.
        device: Where to train.
        origin: Where the command stands.
    """
    stand_there(device, origin)
    if not duty.folder.is_dir():
        return StudyError(f"node {os.uname().nodename} does not see {duty.folder}: put the study on a shared disk.")
    return carry_out(assignment, duty, device, keep=False)
