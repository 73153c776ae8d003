"""The interface of a task: the fields that the model gets, its loss and its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from normbench.data.examples import Batch, Examples
from normbench.errors import ImpossibleRunError


class Written(NamedTuple):
    """A text that a model wrote.

    Attributes:
        prompt: What the model was given.
        text: What it wrote.
        wanted: What the data have there.
    """

    prompt: str
    text: str
    wanted: str


class Drawn(NamedTuple):
    """Pictures of a sample, (3, H, W) uint8 each, of the same size for all samples of a task.

    Attributes:
        given: What the model was given.
        wanted: What the data have there.
        made: What the model made of it.
    """

    given: Tensor
    wanted: Tensor
    made: Tensor


class Task(ABC):
    """A task on the samples of a data set: inputs, targets, loss and metrics.

    A subclass names its fields and metrics, and defines `num_outputs`, `loss`, `losses` and `measure`. The last three
    are pure functions of tensors without branches on values, so that they also run under `torch.func.vmap` and
    `torch.compile`. A task whose runs may train together stores no tensors.

    Args:
        data: The data set of the task.

    Attributes:
        inputs: Fields that the model is called with, in this order.
        targets: Fields that `loss` and `measure` read in addition to the outputs.
        metrics: Names in `normbench.metrics.METRICS`, without ``loss``. Each seed selects its rate by the first.
        causal: The input whose later steps must not change earlier outputs; None if they may.
        alone: Why runs of this task are never trained together; empty if they may be.
        writes: How `written` makes texts, one sentence; empty if there are none.
        draws: What `drawn` shows, one sentence; empty if there are no pictures.
        free: Dimensions of the outputs whose size the model chooses, such as the number of places where it looks.

    Raises:
        ImpossibleRunError: If the data set lacks a field.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    metrics: tuple[str, ...]
    causal: ClassVar[str | None] = None
    alone: ClassVar[str] = ""
    writes: ClassVar[str] = ""
    draws: ClassVar[str] = ""
    free: ClassVar[tuple[int, ...]] = ()

    def __init__(self, data: Examples) -> None:
        self.data = data
        has = data.blank(1)
        if missing := [field for field in (*self.inputs, *self.targets) if field not in has]:
            raise ImpossibleRunError(
                f"the task needs {' and '.join(missing)}, and data={data.name} has {', '.join(has)}; "
                "choose data that fit the task."
            )

    @property
    def input_shape(self) -> tuple[object, ...]:
        """What models are constructed with: the shape of a sample's first input, or more, as in `normbench.shapes`."""
        return self.data.input_shape

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Outputs of the model per sample, such as the number of classes: passed to its constructor."""

    @property
    def num_classes(self) -> int:
        """Number of classes that the records name; 0 if the task has none."""
        return self.data.num_classes

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss () of a batch, to be minimised by the training."""

    @abstractmethod
    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each sample, (B,); `mean_loss` of their sum is reported."""

    @abstractmethod
    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what `scores` needs per sample, without the loss, (B, ...) each; it is summed over samples."""

    def scores(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics from sums over samples: by default the mean of each metric.

        Args:
            sums: The results of `measure`, summed in float64, and ``count``, the number of samples. In evaluations
                also the results of `generated`, summed, and of `predictions`, a row a sample.
        """
        return {metric: float(sums[metric] / sums["count"]) for metric in self.metrics}

    def mean_loss(self, sums: Mapping[str, Tensor]) -> float:
        """Return the loss of a part of the data from sums over its samples: by default the mean over samples.

        Args:
            sums: ``loss``, the sum of `losses`, and what `scores` gets.
        """
        return float(sums["loss"] / sums["count"])

    def generated(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return what `scores` needs from outputs that the model generates step by step, summed like `measure`.

        It is called in evaluations, not for the scores of the training. By default there is nothing.

        Args:
            model: The model; if stacked, it takes and returns (R, B, ...).
            batch: The fields of some samples, (B, ...) or (R, B, ...).

        Returns:
            Rows (B, ...) or (R, B, ...), by name.
        """
        return {}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what `scores` needs of each sample by itself, for a metric that is not a function of sums.

        It is called in evaluations, not for the scores of the training. By default there is nothing.

        Args:
            outputs: The model's outputs, (B, ...), or (R, B, ...) if stacked.
            batch: The targets, (B, ...) or (R, B, ...).

        Returns:
            Rows (B, ...) or (R, B, ...), by name; `scores` gets those of all samples, in the order of the data.
        """
        return {}

    def written(self, model: nn.Module, batch: Batch) -> list[Written]:
        """Return what a trained model writes, for people to read; by default nothing.

        Args:
            model: The model in evaluation mode, not stacked.
            batch: The fields of some samples, (B, ...).
        """
        return []

    def drawn(self, model: nn.Module, batch: Batch) -> list[Drawn]:
        """Return pictures of what a trained model makes of samples, for people to see; by default nothing.

        Args:
            model: The model in evaluation mode, not stacked.
            batch: The fields of some samples, (B, ...).
        """
        return []

    @property
    def chance(self) -> dict[str, float]:
        """Chance level by metric, the score of a diverged run. Empty if the records show it otherwise."""
        return {}

    def blank_outputs(self, count: int) -> Tensor:
        """Return zeros in the shape of a model's outputs for `count` samples, (count, num_outputs)."""
        return torch.zeros(count, self.num_outputs)

    @property
    def sums(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the results of `measure` for one sample, by name."""
        found = self.measure(self.blank_outputs(1), self.targets_of(self.data.blank(1)))
        return {name: tuple(rows.shape[1:]) for name, rows in found.items()}

    @property
    def key(self) -> str:
        """Text of the settings that determine the operations of `loss` and `measure`, in addition to their code."""
        return repr([self.num_outputs, sorted((name, value) for name, value in vars(self).items() if name != "data")])

    def call(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the outputs of a model for a batch."""
        outputs: Tensor = model(*self.inputs_of(batch))
        return outputs

    def inputs_of(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the fields of a batch that the model is called with."""
        return tuple(batch[field] for field in self.inputs)

    def targets_of(self, batch: Batch) -> dict[str, Tensor]:
        """Return the fields of a batch that `loss` and `measure` read."""
        return {field: batch[field] for field in self.targets}


def trained_and_judged(data: Examples) -> tuple[slice, slice]:
    """Return the samples that a chance level is learnt from, and those that it is measured on.

    These are the training and the test part if the data set has its own; otherwise all samples, as every seed draws
    other parts.
    """
    trained = slice(0, data.num_pool - data.num_val)
    return trained, slice(data.num_pool, None) if data.num_test else trained
