"""What the forward pass of a model costs: its multiply-adds, and the numbers that its layers put out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(slots=True)
class Cost:
    """The cost of forward passes so far.

    Attributes:
        multiply_adds: Multiply-adds of the linear and convolutional layers.
        outputs: Output values of all layers.
    """

    multiply_adds: float = 0.0
    outputs: int = 0


@contextmanager
def counting(model: nn.Module) -> Iterator[Cost]:
    """Count the cost of a model's forward passes inside the context.

    Args:
        model: The model.
    """
    cost = Cost()

    def count(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            cost.outputs += output.numel()
        if isinstance(module, nn.Linear | nn.Conv2d):
            cost.multiply_adds += output.numel() * module.weight.numel() / module.weight.shape[0]

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) or not any(m.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    yield cost
    for hook in hooks:
        hook.remove()
