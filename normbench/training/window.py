"""What the optimizer saw since the last evaluation: losses and logits are kept and looked at in bulk."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

import torch
from torch import Tensor

from normbench.training.outcome import Score

FLUSH_EVERY = 64
"""Steps between looks at the losses: a look costs as much as the small kernels of a step, and a wait on a GPU."""


@dataclass
class Window:
    """Training-mode losses and accuracy of the steps since the last `take`."""

    _losses: list[Tensor] = field(default_factory=list)
    _logits: list[Tensor] = field(default_factory=list)
    _labels: list[Tensor] = field(default_factory=list)
    _loss: float = 0.0
    _correct: int = 0
    _samples: int = 0
    _steps: int = 0
    _first_step: int = 1

    def state(self) -> dict[str, Any]:
        """Return all that is kept, not yet added up: sums are rounded by what is added up at once."""
        return {own.name: getattr(self, own.name) for own in fields(self)}

    @classmethod
    def restored(cls, state: dict[str, Any], device: torch.device) -> Self:
        """Return a window with what `state` returned, its tensors on a device."""
        window = cls(**state)
        for kept in (window._losses, window._logits, window._labels):
            kept[:] = [one.to(device) for one in kept]
        return window

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep one step's loss (), logits (B, K) and labels (B,)."""
        self._losses.append(loss.detach())
        self._logits.append(logits.detach())
        self._labels.append(labels)

    @property
    def full(self) -> bool:
        """Whether it is time for `look`."""
        return len(self._losses) >= FLUSH_EVERY

    def look(self) -> int | None:
        """Add up what was kept.

        Returns:
            The first step (from 1 over the whole run) whose loss is not finite, or None.
        """
        if not self._losses:
            return None
        losses = torch.stack(self._losses)
        wrong = (~torch.isfinite(losses)).nonzero()
        if len(wrong):
            return self._first_step + int(wrong[0])
        labels = torch.cat(self._labels)
        self._loss += float(losses.cpu().double().sum())
        self._correct += int((torch.cat(self._logits).argmax(dim=1) == labels).sum())
        self._samples += len(labels)
        self._steps += len(losses)
        self._first_step += len(losses)
        self._losses.clear()
        self._logits.clear()
        self._labels.clear()
        return None

    def take(self) -> Score:
        """Return the mean over the steps looked at, and begin anew."""
        score = Score(loss=self._loss / self._steps, accuracy=self._correct / self._samples)
        self._loss, self._correct, self._samples, self._steps = 0.0, 0, 0, 0
        return score
