"""Tests of what is refused before anything starts on Ray."""

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from normbench.engine.places import ray_cluster
from normbench.engine.places.node import own_versions
from normbench.engine.places.ray import Ray
from normbench.engine.places.ray_cluster import Cluster, check_node
from normbench.engine.places.ray_task import NodeFacts
from normbench.errors import ConfigError
from normbench.plan import Pack
from normbench.spec import Engine

from ..sessions import plan

CPU = torch.device("cpu")
ENGINE = Engine(mode="auto", device="auto", threads=None, workers=None, name="ray")


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"^engine=ray needs the package ray: pip install 'normbench\[ray\]'\.$"):
        plan("engine=ray")
    assert not Path("results").exists()


@pytest.mark.parametrize("address", ["head", "ray://head:10001"])
def test_an_address_has_a_form(address: str) -> None:
    """The message lists the forms."""
    with pytest.raises(ConfigError, match=r"^engine.address: got '.*', expected null, auto or HOST:PORT\.$"):
        plan("engine=ray", f"engine.address='{address}'")


def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time: something else may listen there and never say a word."""
    monkeypatch.setattr(ray_cluster, "_PATIENCE", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"^engine.address={address}: no answer from a Ray cluster in 2 s\\.$"):
            plan("engine=ray", f"engine.address='{address}'")


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a cluster of two nodes without GPUs."""
    monkeypatch.setattr("normbench.engine.places.ray.cluster", lambda _: Cluster((4, 6), (0, 0), True))


@pytest.mark.usefixtures("two_nodes")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "cuda:1"}, "engine.device: got 'cuda:1', on Ray expected auto, cpu or cuda."),
        ({"device": "cuda"}, "engine.device=cuda: no node of the Ray cluster has a GPU."),
        ({"threads": 8}, "engine.threads: got 8, expected at most 6, the CPUs of a node."),
    ],
    ids=["a GPU by number", "no GPU", "threads"],
)
def test_what_no_node_has_is_refused(change: dict[str, object], message: str) -> None:
    """A task that asks for it would wait forever."""
    with pytest.raises(ConfigError) as error:
        Ray().device(replace(ENGINE, **change))  # type: ignore[arg-type]  # one of several types
    assert str(error.value) == message


@pytest.mark.usefixtures("two_nodes")
def test_ranks_need_the_cpus_of_one_node() -> None:
    """A run is one task: its ranks do not part."""
    Ray().check_ranks(replace(ENGINE, ranks=3, threads=2), CPU)
    with pytest.raises(ConfigError, match=r"^engine.ranks=4 needs 8 CPUs on one node, and gets at most 6\.$"):
        Ray().check_ranks(replace(ENGINE, ranks=4, threads=2), CPU)
    assert Ray().workers([Pack(("a",), "solo", 1, "", ranks=3)] * 9, replace(ENGINE, ranks=3)) == 3


def test_ranks_need_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are as many as have GPUs on one node for all their ranks."""
    monkeypatch.setattr("normbench.engine.places.ray.cluster", lambda _: Cluster((8, 8), (2, 3), True))
    with pytest.raises(ConfigError, match=r"^engine.ranks=4 needs 4 GPUs on one node, and gets at most 3\.$"):
        Ray().check_ranks(replace(ENGINE, ranks=4), torch.device("cuda"))
    assert Ray().workers([Pack(("a",), "solo", 1, "", ranks=2)] * 9, replace(ENGINE, ranks=2)) == 2


@pytest.mark.usefixtures("two_nodes")
def test_packs_are_sized_for_the_nodes() -> None:
    """A pack of four threads fits once on each node; a single large run takes the cores of one node."""
    packs = [Pack(("a",), "solo", 4, "")] * 9
    assert Ray().workers(packs, ENGINE) == 2
    assert Ray().workers([Pack(("a",), "solo", 1, "")] * 99, ENGINE) == 10
    assert Ray().workers(packs, replace(ENGINE, workers=1)) == 1
    machine = Ray().machine(ENGINE)
    assert (machine.cores, machine.node) == (10, 6)


def test_a_node_must_be_like_this_machine() -> None:
    """The message names the node and what differs."""
    facts = NodeFacts(own_versions(), True, True)
    check_node("n", facts)
    with pytest.raises(ConfigError, match=r"^node n has torch 1\.0, this machine .*: install one version on all\.$"):
        check_node("n", replace(facts, versions=(facts.versions[0], ("torch", "1.0"))))
    with pytest.raises(ConfigError, match=r"^node n does not see the folder .*: start in one that all nodes share\.$"):
        check_node("n", replace(facts, sees_folder=False))
