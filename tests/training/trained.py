"""A training whose model stays at hand."""

from collections.abc import Collection, Mapping, Sequence

import pytest
from problems import CPU, dataset_of
from torch import Tensor

from normbench.data import Dataset, Fields
from normbench.spec import Run
from normbench.training.build import build
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup
from normbench.training.solo import Observer, train


class Keeper:
    """An observer that keeps the setup, the evaluations and the gradients it is shown."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.grads: list[dict[str, Tensor]] = []

    def started(self, setup: Setup) -> None:
        """Keep the setup."""
        self.setup = setup

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Keep the evaluation and copies of the gradients."""
        self.evaluations.append(evaluation)
        self.grads.append({name: grad.clone() for name, grad in grads.items()})

    def ended(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        self.outcome = outcome


def trained(run: Run, *observers: Observer, probes: Collection[str] = ()) -> tuple[Setup, Outcome]:
    """Return a run's setup, its model as the last step left it, and its outcome."""
    keeper = Keeper()
    watching: Sequence[Observer] = (keeper, *observers)
    outcome = train(run, dataset_of(run), device=CPU, probes=probes, observers=watching)
    return keeper.setup, outcome


def train_in_float64(patch: pytest.MonkeyPatch) -> None:
    """Let this process train in float64, until the patch is undone."""
    real, real_fetch = Dataset.batch, Fields.fetch
    patch.setattr(Dataset, "batch", lambda self, index: real(self, index).double())

    def fetch(data: Fields, index: Tensor) -> dict[str, Tensor]:
        found = real_fetch(data, index)
        return {name: values.double() if values.is_floating_point() else values for name, values in found.items()}

    patch.setattr(Fields, "fetch", fetch)
    real_build = build
    patch.setattr("normbench.training.setup.build", lambda *args: real_build(*args).double())


def state_of(setup: Setup) -> dict[str, Tensor]:
    """Return copies of a model's parameters and buffers by name."""
    return {name: value.clone() for name, value in setup.model.state_dict().items()}
