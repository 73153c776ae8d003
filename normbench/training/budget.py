"""The number of steps of a run, its evaluation times, and its sample order."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from normbench.errors import ImpossibleRunError
from normbench.randomness import generator
from normbench.spec import Run


@dataclass(frozen=True, slots=True)
class Budget:
    """The steps of one run.

    Attributes:
        total: Optimizer steps of the whole run.
        per_epoch: Optimizer steps per epoch; an incomplete last batch is dropped.
        eval_every: Steps between evaluations; the last step is always evaluated.
    """

    total: int
    per_epoch: int
    eval_every: int

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the run."""
        return -(-self.total // self.eval_every)

    def evaluates(self, step: int) -> bool:
        """Return whether the run is evaluated after step `step` (from 1)."""
        return step % self.eval_every == 0 or step == self.total


def budget(run: Run, num_train: int) -> Budget:
    """Return the steps of a run on `num_train` training samples.

    Raises:
        ImpossibleRunError: If a batch is larger than the training set.
    """
    if run.batch_size > num_train:
        raise ImpossibleRunError(
            f"batch_size={run.batch_size} is larger than the training set, {num_train} samples of {run.data.name}."
        )
    per_epoch = num_train // run.batch_size
    total = run.steps if run.steps is not None else per_epoch * (run.epochs or 0)
    return Budget(total=total, per_epoch=per_epoch, eval_every=run.eval_every or per_epoch)


def batches(indices: Tensor, run: Run, plan: Budget, *, taken: int = 0) -> Iterator[Tensor]:
    """Yield the sample indices of each step: a new order every epoch, the same for all arms of a seed.

    Args:
        indices: Indices of the training samples, (n,).
        run: The run; its seed determines the order.
        plan: Its budget.
        taken: Steps already taken; their batches are skipped.

    Yields:
        Indices of one batch, (batch_size,).
    """
    while taken < plan.total:
        epoch, within = divmod(taken, plan.per_epoch)
        order = epoch_order(indices, run.seed, epoch)
        for batch in torch.split(order[within * run.batch_size : plan.per_epoch * run.batch_size], run.batch_size):
            if taken == plan.total:
                return
            yield batch
            taken += 1


def epoch_order(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """Return training indices (n,) in the order in which a seed sees them in an epoch (from 0)."""
    order = torch.randperm(len(indices), generator=generator(seed, "order", epoch))
    return indices[order.to(indices.device)]
