"""What a training yields: rows of numbers, no files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """How good a net is on one part of the data.

    Attributes:
        loss: Mean loss over samples, in the unit of the task.
        metrics: The task's metrics by name.
    """

    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """Return the loss and the metrics by name."""
        return {"loss": self.loss, **self.metrics}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One point of the curves.

    Attributes:
        step: Optimizer steps taken.
        epoch: The same in passes over the training set.
        lr: Learning rate of the last step.
        train: Mean over the minibatches since the evaluation before, in training mode.
        val: Score on the validation part, in evaluation mode.
        probes: What the probes found, by column.
    """

    step: int
    epoch: float
    lr: float
    train: Score
    val: Score
    probes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one run.

    Attributes:
        status: `finished`, `diverged` (a loss that is not finite) or `failed` (an exception).
        num_params: Trainable numbers in the model; None where it could not be built.
        num_classes: Classes of the data; None where there are none.
        chance: What no skill gets, by metric; empty where `num_classes` says it.
        curve: The evaluations in order.
        test: Scores on the test part by the statistics used: `running`, `precise`, `batch`; empty unless finished.
        steps_to_target: First evaluated step at which the validation metric reached the target.
        diverged_at_step: Step whose loss was not finite.
        error: One line, where the run failed.
        norm_layers: What the norms of the model are, such as ``GroupNorm(num_groups=32) x3``.
        remark: Where the training left what was planned, as when a compilation failed.
    """

    status: Status
    num_params: int | None = None
    num_classes: int | None = None
    chance: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Evaluation, ...] = ()
    test: dict[str, Score] = field(default_factory=dict)
    steps_to_target: int | None = None
    diverged_at_step: int | None = None
    error: str = ""
    norm_layers: str = ""
    remark: str = ""
