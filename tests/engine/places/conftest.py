"""A Ray cluster on this machine for the tests of its place."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from normbench.engine.places.ray_cluster import cluster, find_ray

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


@pytest.fixture(scope="session")
def nodes() -> Iterator["Cluster"]:
    """Start a cluster of one node with one CPU; a test may add another."""
    # Ray reads its settings at the import.
    find_ray()
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    found.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """Begin without a connection, as a new process would, and leave none."""
    cluster.cache_clear()
    yield
    if sys.modules.get("ray") is not None:
        find_ray().shutdown()
