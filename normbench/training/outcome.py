"""The results of a training, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """Loss and metrics on one part of the data.

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
        train: Mean over the minibatches since the previous evaluation, in training mode.
        val: Score on the validation part, in evaluation mode.
        probes: Results of the probes, by column.
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
        num_params: Number of trainable parameters; None if the model could not be built.
        num_classes: Classes of the data; None if there are none.
        chance: Chance level by metric; empty if `num_classes` gives it.
        curve: The evaluations in order.
        test: Scores on the test part by the statistics used: `running`, `precise`, `batch`; empty unless finished.
        steps_to_target: First evaluated step at which the validation metric reached the target.
        diverged_at_step: Step whose loss was not finite.
        error: One line, if the run failed.
        norm_layers: Norms of the model, such as ``GroupNorm(num_groups=32) x3``.
        leak: What a causal model sees of later steps in training (`training.leak`); None for other tasks.
        remark: How the training deviated from the plan, such as a failed compilation.
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
    leak: float | None = None
    remark: str = ""
