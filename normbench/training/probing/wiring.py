"""The probes of a run that trains alone, on the samples that all runs use for probes."""

from torch import Tensor, nn

from normbench.training.probing.driver import Probes
from normbench.training.setup import Setup

SAMPLES = 256
"""Training samples used by probes, the first of the split."""


def probes_of(setup: Setup) -> Probes | None:
    """Return the probes that a run names, None if it names none."""
    if not setup.probes:
        return None
    held = setup.parts.train[:SAMPLES]
    return Probes(
        sorted(setup.probes),
        setup.model,
        setup.params,
        task=setup.task,
        batch=setup.parts.batch(setup.dataset, held),
        norm_batch_size=setup.evaluator.norm_batch_size,
    )


def untrained(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers of a model, and the parameters that are not trained."""
    frozen = {name: param for name, param in model.named_parameters() if not param.requires_grad}
    return {**frozen, **dict(model.named_buffers())}
