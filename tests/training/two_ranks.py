"""The processes of `test_ranks`: each trains its rows of every batch, and the whole batches for comparison."""

import copy
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from problems import CPU, dataset_of

from normbench.ranks import ALONE, Ranks
from normbench.spec import Run
from normbench.training.budget import batches
from normbench.training.checkpoint import Progress, Saved, capture, restore
from normbench.training.outcome import Outcome
from normbench.training.setup import Setup, set_up
from normbench.training.solo import Taken, draw, take_step, train
from normbench.training.window import Window

from .trained import train_in_float64

SIZE = 2


@dataclass(frozen=True)
class Answers:
    """What a rank found.

    Attributes:
        apart: By case, the largest difference of losses, gradients, parameters and buffers after a step, and their
            largest change in it.
        outcomes: By case, a whole run with ranks and without.
        resumed: A run with ranks, and the same resumed from its checkpoint.
    """

    apart: dict[str, tuple[float, float]]
    outcomes: dict[str, tuple[Outcome, Outcome]]
    resumed: tuple[Outcome, Outcome]


def answer(rank: int, folder: Path, steps: Mapping[str, Run], runs: Mapping[str, Run]) -> None:
    """Be one of two ranks, and write its answers or how it failed to a file."""
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=SIZE)
        ranks = Ranks(rank, SIZE)
        with pytest.MonkeyPatch.context() as patch:
            train_in_float64(patch)
            found: Answers | str = Answers(
                {name: _apart(run, ranks) for name, run in steps.items()},
                {name: (_outcome(run, ranks), _outcome(run, ALONE)) for name, run in runs.items()},
                _resumed(next(iter(runs.values())), ranks),
            )
        dist.destroy_process_group()
    except Exception:
        found = traceback.format_exc()
    torch.save(found, folder / f"{rank}.pt")


def _outcome(run: Run, ranks: Ranks) -> Outcome:
    return train(run, dataset_of(run), device=CPU, ranks=ranks)


class _Kept:
    """A checkpoint in memory, saved after the third step."""

    def __init__(self) -> None:
        self.state: Saved | None = None

    def due(self, step: int) -> bool:
        """Return whether it is the third step."""
        return step == 3

    def load(self) -> Saved | None:
        """Return the state."""
        return self.state

    def save(self, state: Saved) -> None:
        """Keep a copy."""
        self.state = copy.deepcopy(state)


def _resumed(run: Run, ranks: Ranks) -> tuple[Outcome, Outcome]:
    """Train a run that rank 0 saves, then go on from there: only rank 0 has the state."""
    kept = _Kept() if ranks.rank == 0 else None
    first, second = (train(run, dataset_of(run), device=CPU, checkpoint=kept, ranks=ranks) for _ in range(2))
    return first, second


def _apart(run: Run, ranks: Ranks) -> tuple[float, float]:
    """Take each step of a run from the same state with ranks and without."""
    alone, shared = set_up(run, dataset_of(run), CPU), set_up(run, dataset_of(run), CPU, ranks=ranks)
    rates = alone.optimizer.rates(alone.rates)
    apart = changed = 0.0
    for step, index in enumerate(batches(alone.parts.train, run, alone.budget)):
        before = copy.deepcopy(capture(alone, Progress(Window(alone.task))))
        # Masks are drawn by each step, in the size that a rank needs.
        before["model"] = {name: value for name, value in before["model"].items() if name in alone.model.state_dict()}
        restore(shared, before)
        found = [_step(setup, index, rates[step]) for setup in (alone, shared)]
        apart = max(apart, _difference(*found))
        changed = max(changed, _difference({"": before["model"]}, {"": found[0]["model"]}))
    return apart, changed


def _step(setup: Setup, index: torch.Tensor, rate: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    taken: Taken = take_step(setup, draw(setup, index), rate)
    model = {name: value for name, value in setup.model.state_dict().items()}
    return {"model": copy.deepcopy(model), "grads": taken.grads, "loss": {"": taken.loss, "outputs": taken.outputs}}


def _difference(
    one: Mapping[str, Mapping[str, torch.Tensor]], other: Mapping[str, Mapping[str, torch.Tensor]]
) -> float:
    return max(
        float((value.detach() - other[group][name].detach()).abs().max())
        for group, values in one.items()
        for name, value in values.items()
        if name in other[group]
    )
