from typing import Any

import pytest
import torch
from problems import problem
from torch import Tensor

from normbench.errors import ImpossibleRunError
from normbench.spec import Run
from normbench.training.budget import Budget, batches, budget

INDICES = torch.arange(100, 150)


def a_run(**changes: Any) -> Run:
    """Return a run of two epochs in batches of 16, changed."""
    return problem("mlp-batch", **{"steps": None, "epochs": 2, "batch_size": 16, **changes})


def order(run: Run) -> list[Tensor]:
    """Return all batches of a run over `INDICES`."""
    return list(batches(INDICES, run, budget(run, len(INDICES))))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Budget(total=6, per_epoch=3, eval_every=3)),
        ({"batch_size": 50}, Budget(total=2, per_epoch=1, eval_every=1)),
        ({"epochs": None, "steps": 7}, Budget(total=7, per_epoch=3, eval_every=3)),
        ({"epochs": None, "steps": 2}, Budget(total=2, per_epoch=3, eval_every=3)),
        ({"eval_every": 4}, Budget(total=6, per_epoch=3, eval_every=4)),
    ],
    ids=["epochs", "whole set", "steps", "less than an epoch", "eval_every"],
)
def test_budget(changes: dict[str, Any], expected: Budget) -> None:
    """Epochs count whole batches only, steps are taken as they are, and evaluation is each epoch unless said."""
    assert budget(a_run(**changes), len(INDICES)) == expected


def test_a_batch_larger_than_the_training_set_is_impossible() -> None:
    """The message gives both sizes."""
    with pytest.raises(ImpossibleRunError, match="batch_size=51 is larger than the training set, 50 samples of digits"):
        budget(a_run(batch_size=51), len(INDICES))


@pytest.mark.parametrize(
    ("total", "every", "expected"),
    [(6, 3, [3, 6]), (7, 3, [3, 6, 7]), (2, 3, [2]), (3, 1, [1, 2, 3])],
    ids=["even", "ragged", "short", "every step"],
)
def test_evaluates_on_the_grid_and_at_the_end(total: int, every: int, expected: list[int]) -> None:
    """A run is evaluated every so many steps and after its last, never twice after one step."""
    plan = Budget(total=total, per_epoch=5, eval_every=every)
    assert [step for step in range(1, total + 1) if plan.evaluates(step)] == expected
    assert plan.evaluations == len(expected)


def test_every_epoch_sees_no_sample_twice() -> None:
    """An epoch is whole batches of distinct training samples; the ragged rest is dropped."""
    taken = order(a_run())
    assert [len(batch) for batch in taken] == [16] * 6
    for epoch in (taken[:3], taken[3:]):
        seen = torch.cat(epoch).tolist()
        assert len(set(seen)) == 48
        assert set(seen) <= set(INDICES.tolist())


def test_every_epoch_has_its_own_order() -> None:
    """The order is drawn anew for each epoch, and what was dropped comes in again."""
    taken = order(a_run(batch_size=50))
    assert not torch.equal(taken[0], taken[1])
    dropped = [set(INDICES.tolist()) - set(torch.cat(order(a_run())[i : i + 3]).tolist()) for i in (0, 3)]
    assert dropped[0] != dropped[1]


def test_steps_end_in_the_middle_of_an_epoch() -> None:
    """A budget in steps is the beginning of a longer one."""
    short, long = order(a_run(epochs=None, steps=4)), order(a_run())
    assert len(short) == 4
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(short, long, strict=False))


@pytest.mark.parametrize("other", ["mlp-none", "resnet-group", "mlp-batch-adamw"])
def test_arms_of_one_seed_share_their_order(other: str) -> None:
    """Neither norm, nor model, nor optimizer changes what a seed sees when."""
    theirs = order(problem(other, steps=None, epochs=2))
    assert torch.equal(torch.cat(order(a_run())), torch.cat(theirs))


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    """Different batch sizes cut the same permutation."""
    whole = order(a_run(batch_size=50))[0]
    assert torch.equal(torch.cat(order(a_run(batch_size=16))[:3]), whole[:48])
    assert torch.equal(torch.cat(order(a_run(batch_size=7))[:7]), whole[:49])


def test_seeds_differ_in_order() -> None:
    """Another seed is another order."""
    assert not torch.equal(torch.cat(order(a_run(seed=0))), torch.cat(order(a_run(seed=1))))
