"""A small problem that trains in milliseconds, in float64, and helpers for norms."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normbench.models.images.mlp import mlp
from normbench.models.initialization import initialize
from normbench.norms.factory import NormFactory
from normbench.randomness import generator

NormMaker = Callable[..., nn.Module]
"""Makes a norm: called with the number of channels and, if a check needs them, keyword arguments."""

ModelMaker = Callable[[NormFactory], nn.Module]
"""Makes a model for images (1, 8, 8) of three classes, from the factory of its norms."""

CLASSES = 3
_BATCH = 16


def small_mlp(norm: NormFactory) -> nn.Module:
    """Return a perceptron of three hidden layers of 12 units."""
    return mlp((1, 8, 8), CLASSES, norm, width=12, depth=3)


def images_and_labels(count: int) -> tuple[Tensor, Tensor]:
    """Return noise (count, 1, 8, 8) around one pattern per class, and the classes (count,)."""
    draws = generator(0, "properties", "images")
    patterns = torch.randn(CLASSES, 1, 8, 8, generator=draws, dtype=torch.float64)
    labels = torch.arange(count) % CLASSES
    return patterns[labels] + torch.randn(count, 1, 8, 8, generator=draws, dtype=torch.float64), labels


def initial(build: ModelMaker, norm: NormFactory) -> nn.Module:
    """Return a model in float64 and training mode, with each weight drawn from the stream of its name."""
    with torch.random.fork_rng(devices=[]):
        # Weights drawn during construction are overwritten below.
        model = build(norm).double().train()
    initialize(model, lambda name: generator(0, "properties", "init", name))
    return model


def train(model: nn.Module, *, steps: int, lr: float = 0.1) -> None:
    """Take steps of plain gradient descent on minibatches of 16, in place."""
    images, labels = images_and_labels(4 * _BATCH)
    params = list(model.parameters())
    for step in range(steps):
        rows = torch.arange(step * _BATCH, (step + 1) * _BATCH) % len(labels)
        grads = torch.autograd.grad(F.cross_entropy(model(images[rows]), labels[rows]), params)
        with torch.no_grad():
            for param, grad in zip(params, grads, strict=True):
                param.sub_(grad, alpha=lr)


def inputs() -> tuple[Tensor, Tensor]:
    """Return features (32, 6) and maps (8, 6, 4, 4) whose channels have different means and deviations."""
    draws = generator(0, "properties", "inputs")
    made = []
    for shape in ((32, 6), (8, 6, 4, 4)):
        scale, shift = (
            torch.linspace(low, high, 6, dtype=torch.float64).view(1, 6, *[1] * (len(shape) - 2))
            for low, high in ((1, 5), (-3, 4))
        )
        made.append(shift + scale * torch.randn(shape, generator=draws, dtype=torch.float64))
    return made[0], made[1]


def over_channel(x: Tensor) -> tuple[int, ...]:
    """Return the dimensions of x (N, C, ...) that a channel is averaged over."""
    return tuple(dim for dim in range(x.ndim) if dim != 1)


def eps_of(layer: nn.Module) -> float:
    """Return the eps of a norm, 0 if it has none."""
    return float(getattr(layer, "eps", 0.0))


@torch.no_grad()
def set_affine(layer: nn.Module, *, gamma: Tensor, beta: Tensor) -> None:
    """Set gamma and beta of a norm, (C,) each, if it has them."""
    for name, value in (("weight", gamma), ("bias", beta)):
        if isinstance(param := getattr(layer, name, None), nn.Parameter):
            param.copy_(value)
