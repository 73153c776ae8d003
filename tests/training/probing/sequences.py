"""Small models of sequences in float64 at a made-up step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normbench.data.fields import Fields
from normbench.models.initialization import initialize
from normbench.models.sequences.rnn import rnn
from normbench.models.sequences.transformer import transformer
from normbench.norms import REGISTRY, NormFactory
from normbench.randomness import generator
from normbench.tasks.sequence_classification import SequenceClassification
from normbench.training.probing.view import Moment, View

SAMPLES, STEPS, FEATURES = 6, 5, 3
LENGTHS = torch.tensor([4, 2, 3, 1, 4, 2])
"""No sample reaches the last step, and only two reach the one before it."""
NETS: Mapping[str, Callable[..., nn.Module]] = {"rnn": rnn, "transformer": transformer}


@dataclass(frozen=True)
class SequenceCase:
    """A model of sequences, its view and a moment of it."""

    model: nn.Module
    view: View
    moment: Moment

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the model is called with."""
        return self.view.task.inputs_of(self.moment.batch)

    @property
    def valid(self) -> Tensor:
        """Which steps are no padding, (B, L)."""
        lengths = self.moment.batch.get("lengths", torch.full((SAMPLES,), STEPS))
        return torch.arange(STEPS) < lengths.unsqueeze(1)


def sequence_case(
    net: str, norm: str = "batch", *, padded: bool = True, seed: int = 0, padding: float = 9.0, **keys: Any
) -> SequenceCase:
    """Return a model with every number of its state drawn.

    Args:
        net: `rnn` or `transformer`.
        norm: Its norm.
        padded: Whether sequences differ in length.
        seed: Of all that is drawn.
        padding: What stands in padding.
        **keys: Settings of the net.
    """
    draws = generator(seed, "case")

    def near(tensor: Tensor, distance: float) -> Tensor:
        return tensor.detach() + distance * torch.randn(tensor.shape, generator=draws, dtype=torch.float64)

    lengths = {"lengths": LENGTHS} if padded else {}
    valid = torch.arange(STEPS) < LENGTHS.unsqueeze(1)
    sequence = near(torch.zeros(SAMPLES, STEPS, FEATURES), 1.0)
    sequence = torch.where(valid.unsqueeze(2), sequence, padding) if padded else sequence
    batch = {"sequence": sequence, **lengths, "labels": torch.arange(SAMPLES) % 3}
    task = SequenceClassification(Fields("made up", batch, label="labels", class_names=("a", "b", "c")))
    model = NETS[net](task.input_shape, 3, NormFactory(REGISTRY[norm]), **{"width": 4, "depth": 2} | keys)
    initialize(model, lambda name: generator(seed, "init", name))
    model = model.double()
    before = {name: near(param, 0.2) for name, param in model.named_parameters() if param.requires_grad}
    rest = {name: param.detach() for name, param in model.named_parameters() if not param.requires_grad}
    buffers = {
        name: near(buffer, 0.1).abs() if buffer.is_floating_point() else buffer.clone()
        for name, buffer in model.named_buffers()
    }
    moment = Moment(
        before=before,
        params={name: near(param, 0.02) for name, param in before.items()},
        earlier={name: near(param, 0.05) for name, param in before.items()},
        buffers={**rest, **buffers},
        grads={},
        lr=torch.tensor(0.1, dtype=torch.float64),
        batch=batch,
    )
    view = View.of(model, task, {name: field[:2] for name, field in batch.items()}, norm_batch_size=None)
    moment = moment._replace(grads=view.gradients(moment.before, moment.buffers, moment.batch))
    model.load_state_dict({**moment.params, **moment.buffers}, strict=False)
    return SequenceCase(model, view, moment)
