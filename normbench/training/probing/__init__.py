"""Probes: scalars that measure the effect of a norm on a training, without changing it.

Each is a pure function of a `View` (the model's structure) and a `Moment` (tensors): `driver.Probes` calls it for one
run, or under `torch.vmap` for runs that are trained together.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor

from normbench.errors import ConfigError, nearest
from normbench.training.probing.activations import activations
from normbench.training.probing.dead_units import dead_units
from normbench.training.probing.effective_lr import effective_lr
from normbench.training.probing.gradients import gradients
from normbench.training.probing.gradients_time import gradients_time
from normbench.training.probing.ics_ioffe import ics_ioffe
from normbench.training.probing.ics_santurkar import ics_santurkar
from normbench.training.probing.ics_training import ics_training
from normbench.training.probing.landscape import landscape
from normbench.training.probing.statistics_gap import statistics_gap
from normbench.training.probing.view import Moment, View


@dataclass(frozen=True, slots=True)
class Probe:
    """One entry of the registry.

    Attributes:
        measure: Returns the scalars, () each, by names without the probe's name.
        cost: Cost of one measurement on the fixed samples, in words.
        passes: The same as measured, in forward passes of the training.
        reads: Fields of `Moment` that it needs prepared: `before`, `earlier`, `grads`.
    """

    measure: Callable[[View, Moment], dict[str, Tensor]]
    cost: str
    passes: int
    reads: frozenset[str] = frozenset()

    def columns(self, view: View, moment: Moment) -> tuple[str, ...]:
        """Return the names of the scalars for a model, by measuring once.

        Args:
            view: The model.
            moment: Any moment of the model, such as one with two samples.
        """
        return tuple(self.measure(view, moment))


def check_probes(names: Collection[str]) -> None:
    """Check that every probe is known.

    Raises:
        ConfigError: If one is not.
    """
    for name in names:
        if name not in REGISTRY:
            raise ConfigError(f"unknown probe {name!r}{nearest(name, REGISTRY)}")


REGISTRY: dict[str, Probe] = {
    "activations": Probe(activations, "a forward pass, and sorting what the norms see", 25),
    "gradients": Probe(gradients, "a backward pass, shared by all probes that read gradients", 4, frozenset({"grads"})),
    "gradients_time": Probe(gradients_time, "a forward and a backward pass; nothing without recurrence", 5),
    "effective_lr": Probe(
        effective_lr, "a backward pass, shared by all probes that read gradients", 4, frozenset({"before", "grads"})
    ),
    "dead_units": Probe(dead_units, "a forward pass", 2),
    "ics_ioffe": Probe(ics_ioffe, "two forward passes", 4, frozenset({"earlier"})),
    "ics_santurkar": Probe(ics_santurkar, "a backward pass for each weight layer", 10, frozenset({"before", "grads"})),
    "ics_training": Probe(ics_training, "two forward passes", 6, frozenset({"earlier"})),
    "landscape": Probe(
        landscape,
        "eight backward passes, and one shared by all probes that read gradients",
        35,
        frozenset({"before", "grads"}),
    ),
    "statistics_gap": Probe(statistics_gap, "two forward passes", 3),
}
