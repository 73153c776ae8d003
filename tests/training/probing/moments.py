"""Small models in float64 at a made-up step, and the same models in plain training mode to compare with."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from problems import CORE, NEEDS_MAPS
from torch import Tensor, nn

from normbench.data.synthetic import synthetic
from normbench.models.images.mlp import mlp
from normbench.models.images.plain import plain
from normbench.models.images.resnet import resnet
from normbench.models.initialization import initialize
from normbench.norms import REGISTRY, NormFactory
from normbench.randomness import generator
from normbench.tasks import Classification
from normbench.training.probing.view import Moment, View

SAMPLES = 12
TASK = Classification(
    synthetic(num_classes=3, num_samples=9, image_size=8, channels=1, difficulty=0.5, generator_seed=0)
)
NETS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": partial(mlp, (1, 8, 8), 3, width=8, depth=3),
    "resnet": partial(resnet, (1, 8, 8), 3, depth=8, width=4),
    "plain": partial(plain, (1, 8, 8), 3, depth=8, width=4),
}
# The noise of `batch_noisy` is left out of what most probes see, as dropout is: its logits are not those of training.
ARMS = [
    *(f"{net}-{norm}" for net in NETS for norm in CORE if not (net == "mlp" and norm in NEEDS_MAPS)),
    *(f"resnet-{norm}" for norm in REGISTRY if norm not in (*CORE, "batch_noisy")),
]


@dataclass(frozen=True)
class Case:
    """A model, its view and a moment of it."""

    model: nn.Module
    view: View
    moment: Moment

    def trained(self, params: Mapping[str, Tensor]) -> nn.Module:
        """Return a new model in training mode with some parameters and the buffers of the moment."""
        model = copy.deepcopy(self.model).train()
        model.load_state_dict({**params, **self.moment.buffers})
        return model

    def gradients(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradients of the loss on the samples, by plain autograd in training mode."""
        model = self.trained(params)
        loss = F.cross_entropy(model(self.moment.batch["images"]), self.moment.batch["labels"])
        grads = torch.autograd.grad(loss, list(model.parameters()))
        return dict(zip(dict(model.named_parameters()), grads, strict=True))

    @torch.no_grad()
    def loss(self, params: Mapping[str, Tensor]) -> float:
        """Return the loss on the samples in training mode."""
        return float(F.cross_entropy(self.trained(params)(self.moment.batch["images"]), self.moment.batch["labels"]))

    def around(self, params: Mapping[str, Tensor], layer: str) -> list[tuple[Tensor, Tensor]]:
        """Return what goes into and comes out of a layer in training mode, for each of its calls."""
        model, seen = self.trained(params), list[tuple[Tensor, Tensor]]()
        model.get_submodule(layer).register_forward_hook(
            lambda _, args, output: seen.append((args[0].detach().clone(), output.detach().clone()))
        )
        model(self.moment.batch["images"])
        return seen


def case(arm: str, *, seed: int = 0, chunk: int | None = None, **dials: Any) -> Case:
    """Return a model such as `mlp-batch` with every number of its state drawn, and steps as long as training has them.

    Args:
        arm: Net and norm.
        seed: Of all that is drawn.
        chunk: Samples that norms with batch statistics see together.
        **dials: Settings of the net.
    """
    net, norm = arm.split("-")
    model = NETS[net](norm=NormFactory(REGISTRY[norm], {"norm_batch_size": chunk} if chunk else {}), **dials)
    initialize(model, lambda name: generator(seed, "init", name))
    draws = generator(seed, "case")

    def near(tensor: Tensor, distance: float) -> Tensor:
        return tensor.detach() + distance * torch.randn(tensor.shape, generator=draws, dtype=torch.float64)

    model = model.double()
    before = {name: near(param, 0.1) for name, param in model.named_parameters()}
    buffers = {
        name: near(buffer, 0.1).abs() if buffer.is_floating_point() else buffer.clone()
        for name, buffer in model.named_buffers()
    }
    images = near(torch.zeros(SAMPLES, 1, 8, 8), 1.0)
    moment = Moment(
        before=before,
        params={name: near(param, 0.02) for name, param in before.items()},
        earlier={name: near(param, 0.05) for name, param in before.items()},
        buffers=buffers,
        grads={},
        lr=torch.tensor(0.1, dtype=torch.float64),
        batch={"images": images, "labels": torch.arange(SAMPLES) % 3},
    )
    made = Case(model, View.of(model, TASK, {"images": images[:2]}, norm_batch_size=chunk), moment)
    return Case(model, made.view, moment._replace(grads=made.gradients(before)))


def stacked(moments: list[Moment]) -> dict[str, Any]:
    """Return moments as the fields of one, each tensor with a first dimension more."""
    return {
        key: (
            torch.stack(values)
            if isinstance(values[0], Tensor)
            else {name: torch.stack([value[name] for value in values]) for name in values[0]}
        )
        for key, values in zip(Moment._fields, zip(*moments, strict=True), strict=True)
    }
