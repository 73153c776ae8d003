"""Clusters on this machine for the tests of their places."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from normbench.engine.places.ray_cluster import cluster, find_ray
from normbench.engine.places.slurm_queue import find_partition

from .slurm_nodes import SlurmNodes, require_slurm

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


@pytest.fixture(scope="session")
def nodes() -> Iterator["Cluster"]:
    """Start a cluster of one node with one CPU; a test may add another."""
    # Ray reads its settings at the import. Its guard of the memory would kill workers for what others use.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    find_ray()
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    found.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNodes]:
    """Start a Slurm of two nodes with one CPU each."""
    require_slurm()
    found = SlurmNodes(tmp_path_factory.mktemp("slurm"))
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """Begin without a connection, as a new process would, and leave none."""
    cluster.cache_clear()
    find_partition.cache_clear()
    yield
    if sys.modules.get("ray") is not None:
        find_ray().shutdown()
