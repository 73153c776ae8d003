"""This process's connection to a Ray cluster, and what the cluster has."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from normbench.engine.device import cores, find_compiler
from normbench.engine.places.node import own_versions, unlike
from normbench.engine.places.ray_task import NodeFacts, node_facts
from normbench.errors import ConfigError

_PATIENCE = 30.0
"""Seconds that a cluster has to answer, and later each of its nodes, before anything starts."""

_NAMESPACE = "normbench"

_SETTINGS = {
    # Reports of dead workers and nodes, which normbench notes in its own words, on the command's output.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise each worker warns of a default that will change.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # On a machine that is busy with training, a cluster takes longer to start than Ray waits by default.
    "RAY_raylet_start_wait_time_s": "180",
}

_TRY = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); ray.shutdown()"


@dataclass(frozen=True)
class Cluster:
    """What a cluster has.

    Attributes:
        cpus: CPUs of each node.
        gpus: GPUs of each node.
        compiler: Whether all nodes have a C++ compiler.
    """

    cpus: tuple[int, ...]
    gpus: tuple[int, ...]
    compiler: bool


def find_ray() -> ModuleType:
    """Return the package ray, told to be quiet and patient.

    Raises:
        ConfigError: If it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("engine=ray needs the package ray: pip install 'normbench[ray]'.") from error
    return ray


def connect(address: str | None) -> None:
    """Connect this process to a cluster, unless it is; where the user's own program has done so, that counts.

    Args:
        address: `auto` for the cluster of this machine, or HOST:PORT; None starts one for this process alone.

    Raises:
        ConfigError: If ray is not installed, or the cluster does not answer.
    """
    ray = find_ray()
    namespace = f"{_NAMESPACE} {address or 'local'}"
    if ray.is_initialized():
        if not is_ours() or ray.get_runtime_context().namespace == namespace:
            return
        ray.shutdown()
    own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False}
    if address is not None:
        own = {}
        _check(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address=address or "local",
        namespace=namespace,
        configure_logging=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        **own,
    )


def is_ours() -> bool:
    """Return whether the connection is normbench's, and not one of the user's own program."""
    return str(find_ray().get_runtime_context().namespace).startswith(f"{_NAMESPACE} ")


@lru_cache(maxsize=8)
def cluster(address: str | None) -> Cluster:
    """Return what a cluster has; asked once per process.

    Raises:
        ConfigError: If it does not answer, or a node cannot train.
    """
    connect(address)
    ray = find_ray()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    cpus = tuple(int(node["Resources"].get("CPU", 0)) for node in nodes)
    gpus = tuple(int(node["Resources"].get("GPU", 0)) for node in nodes)
    if address is None:
        return Cluster(cpus, gpus, find_compiler() is not None)
    facts = _ask({node["NodeID"]: str(node["NodeManagerAddress"]) for node in nodes})
    return Cluster(cpus, gpus, all(one.compiler for one in facts))


def _check(address: str) -> None:
    """Try an address in a process of its own: Ray itself tries for two minutes, and ends its process then.

    Raises:
        ConfigError: If it does not answer in time.
    """
    if address != "auto" and not re.fullmatch(r"[^/\s:]+:\d+", address):
        raise ConfigError(f"engine.address: got {address!r}, expected null, auto or HOST:PORT.")
    command = [sys.executable, "-c", _TRY, address]
    try:
        subprocess.run(command, capture_output=True, text=True, errors="replace", check=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"engine.address={address}: no answer from a Ray cluster in {_PATIENCE:g} s.") from error
    except subprocess.CalledProcessError as error:
        reason = next(reversed([line.strip() for line in error.stderr.splitlines() if line.strip()]), "no reason given")
        raise ConfigError(f"engine.address={address}: {reason}") from error


def _ask(nodes: Mapping[str, str]) -> Sequence[NodeFacts]:
    """Return the facts of nodes, given their addresses by their ids.

    Raises:
        ConfigError: If a node does not answer, has another version of normbench or torch, or lacks the folder.
    """
    ray = find_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(node_facts)
    answers = {
        task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(Path.cwd()): name
        for node, name in nodes.items()
    }
    found = []
    for answer, name in answers.items():
        try:
            facts: NodeFacts = ray.get(answer, timeout=3 * _PATIENCE)
        except ray.exceptions.RayError as error:
            reason = next(reversed([line.strip() for line in str(error).splitlines() if line.strip()]), type(error))
            raise ConfigError(f"node {name} of engine.address cannot train: {reason}") from error
        check_node(name, facts)
        found.append(facts)
    return found


def check_node(name: str, facts: NodeFacts) -> None:
    """Check that a node can train what this process plans.

    Raises:
        ConfigError: If it cannot.
    """
    if text := unlike(name, facts.versions, own_versions()):
        raise ConfigError(text)
    if not facts.sees_folder:
        raise ConfigError(f"node {name} does not see the folder {Path.cwd()}: start in one that all nodes share.")
