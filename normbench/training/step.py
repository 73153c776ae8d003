"""The step of R runs as a function of tensors only, and its sums; it runs eagerly or compiled."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from normbench.tasks import Task
from normbench.training.compiled import Step
from normbench.training.outcome import Score
from normbench.training.precision import LossScale, scaled_step


class Tally(NamedTuple):
    """Sums over the steps since the last evaluation, for each run; changed in place by the step.

    Attributes:
        loss: Sum of the losses, (R,) float64.
        sums: The task's measures, summed over samples, (R, ...) float64.
        bad_step: First step whose loss was not finite, 0 for none, (R,) int64; never reset.
        step: Steps taken, () int64; never reset.
    """

    loss: Tensor
    sums: dict[str, Tensor]
    bad_step: Tensor
    step: Tensor

    @classmethod
    def zeros(cls, task: Task, runs: int, device: torch.device) -> "Tally":
        """Return an empty tally for `runs` runs of a task."""
        counts = torch.zeros(runs, dtype=torch.int64, device=device)
        loss = torch.zeros(runs, dtype=torch.float64, device=device)
        sums = {name: loss.new_zeros(runs, *shape) for name, shape in task.sums.items()}
        return cls(loss, sums, counts, torch.zeros((), dtype=torch.int64, device=device))

    def take(self, task: Task, steps: int, samples: int) -> list[Score]:
        """Return each run's mean loss over the steps and its metrics over their samples, and reset the sums."""
        sums = {name: values.cpu() for name, values in self.sums.items()}
        count = torch.tensor(samples, dtype=torch.float64)
        scores = [
            Score(loss / steps, task.scores({**{name: values[run] for name, values in sums.items()}, "count": count}))
            for run, loss in enumerate(self.loss.tolist())
        ]
        for total in (self.loss, *self.sums.values()):
            total.zero_()
        return scores


class StackState(NamedTuple):
    """All tensors that a step of R runs changes in place, and the numbers that differ between runs.

    Attributes:
        params: Stacked parameters, (R, ...).
        buffers: Stacked buffers and parameters that are not trained.
        optimizer: Optimizer state for each parameter.
        varying: Optimizer arguments that differ between runs, (R,).
        tally: Sums over the steps.
        scale: Loss scale in float16; else empty.
    """

    params: dict[str, Tensor]
    buffers: dict[str, Tensor]
    optimizer: dict[str, tuple[Tensor, ...]]
    varying: dict[str, Tensor]
    tally: Tally
    scale: LossScale | tuple[()]


def make_step(task: Task, skeleton: nn.Module, update: Callable[..., None]) -> Step:
    """Return the step of R runs as a function of tensors only: it changes them in place and returns nothing.

    Args:
        task: The task.
        skeleton: A model with the runs' structure.
        update: `Optimizer.update` of runs of that structure.
    """

    def loss_of(
        params: dict[str, Tensor], buffers: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        outputs = functional_call(skeleton, (params, buffers), task.inputs_of(batch))
        return task.loss(outputs, batch), outputs

    gradients = torch.vmap(grad_and_value(loss_of, has_aux=True))
    measure = torch.vmap(task.measure)
    scaled = scaled_step(loss_of, update)

    @torch.no_grad()
    def take_step(state: StackState, lr: Tensor, batch: dict[str, Tensor], scalars: dict[str, Tensor]) -> None:
        inputs, rates = (state.buffers, batch), (lr, state.varying, scalars)
        if state.scale:
            losses, outputs = scaled(state.scale, state.params, state.optimizer, inputs, rates)
        else:
            grads, (losses, outputs) = gradients(state.params, *inputs)
            update(state.params, state.optimizer, grads, *rates)
        tally = state.tally
        tally.loss.add_(losses.double())
        for name, rows in measure(outputs, task.targets_of(batch)).items():
            tally.sums[name].add_(rows.sum(dim=1))
        tally.step.add_(1)
        first_bad = (tally.bad_step == 0) & ~torch.isfinite(losses)
        tally.bad_step.copy_(torch.where(first_bad, tally.step, tally.bad_step))

    return take_step
