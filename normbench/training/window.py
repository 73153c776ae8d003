"""Losses and outputs since the last evaluation, collected and evaluated in bulk."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import torch
from torch import Tensor

from normbench.data import Batch
from normbench.tasks import Task
from normbench.training.outcome import Score

FLUSH_EVERY = 64
"""Steps between checks of the losses: a check costs as much as the small kernels of a step, and a wait on a GPU."""

_MOST_VALUES = 2**26
"""Maximum number of output values kept."""


@dataclass
class Window:
    """Training-mode loss and metrics of the steps since the last `take`.

    Args:
        task: The task.
    """

    task: Task
    _losses: list[Tensor] = field(default_factory=list)
    _outputs: list[Tensor] = field(default_factory=list)
    _targets: dict[str, list[Tensor]] = field(default_factory=dict)
    _sums: dict[str, Tensor] = field(default_factory=dict)
    _loss: float = 0.0
    _steps: int = 0
    _first_step: int = 1

    def state(self) -> dict[str, Any]:
        """Return everything that is kept, not summed: rounding depends on what is summed at once."""
        return {own.name: getattr(self, own.name) for own in fields(self) if own.name != "task"}

    @classmethod
    def restored(cls, task: Task, state: dict[str, Any], device: torch.device) -> Self:
        """Return a window with the content that `state` returned, its tensors on a device."""
        window = cls(task, **state)
        for kept in (window._losses, window._outputs, *window._targets.values()):
            kept[:] = [one.to(device) for one in kept]
        return window

    def add(self, loss: Tensor, outputs: Tensor, targets: Batch) -> None:
        """Keep one step's loss (), outputs (B, ...) and targets (B, ...)."""
        self._losses.append(loss.detach())
        self._outputs.append(outputs.detach())
        for name in self.task.targets:
            self._targets.setdefault(name, []).append(targets[name])

    @property
    def full(self) -> bool:
        """Whether `look` is due."""
        kept = len(self._losses)
        return kept >= FLUSH_EVERY or (kept > 0 and kept * self._outputs[-1].numel() > _MOST_VALUES)

    def look(self) -> int | None:
        """Sum what was kept.

        Returns:
            The first step (from 1 over the whole run) whose loss is not finite, or None.
        """
        if not self._losses:
            return None
        losses = torch.stack(self._losses)
        wrong = (~torch.isfinite(losses)).nonzero()
        if len(wrong):
            return self._first_step + int(wrong[0])
        outputs = torch.cat(self._outputs)
        found = self.task.measure(outputs, {name: torch.cat(kept) for name, kept in self._targets.items()})
        add_sums(self._sums, {name: rows.sum(0) for name, rows in found.items()}, count=len(outputs))
        self._loss += float(losses.cpu().double().sum())
        self._steps += len(losses)
        self._first_step += len(losses)
        self._losses.clear()
        self._outputs.clear()
        self._targets.clear()
        return None

    def take(self) -> Score:
        """Return the mean loss over the summed steps and the metrics over their samples, and reset the window."""
        score = Score(self._loss / self._steps, self.task.scores(self._sums))
        self._loss, self._steps = 0.0, 0
        self._sums.clear()
        return score


def add_sums(sums: dict[str, Tensor], found: Mapping[str, Tensor], *, count: int) -> None:
    """Add what was found of `count` samples to sums, in float64 on the CPU; both are changed in place.

    Args:
        sums: By name; filled with ``count`` too.
        found: By name, summed over the samples.
        count: The samples.
    """
    for name, value in {**found, "count": torch.tensor(count)}.items():
        more = value.cpu().double()
        sums[name] = sums[name] + more if name in sums else more
