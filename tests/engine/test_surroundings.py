"""Tests of trainings inside a program that has set torch up for itself."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

import normbench

TINY = ["steps=3", "model.width=8", "seed=range(2)", "engine.workers=2"]


@contextmanager
def default_type() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def seeded() -> Iterator[None]:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "default type": default_type,
    "default device": default_device,
    "deterministic algorithms": deterministic,
    "global seed": seeded,
    "device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_callers_torch_changes_nothing_and_is_left_as_it_was(
    surroundings: Callable[[], AbstractContextManager[object]], here: Path
) -> None:
    """The bits of a run are those of the plan, whoever trains it."""
    alone = normbench.train(TINY, results_dir=here / "alone")
    with surroundings():
        inside = normbench.train(TINY, results_dir=here / "inside")
    assert inside.equals(alone)
    assert set(inside["status"]) == {"finished"}
