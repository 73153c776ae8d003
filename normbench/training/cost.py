"""What the forward passes of a model cost: operations, multiply-adds, and the numbers that its layers put out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from normbench.norms.factory import norm_layers

aten = torch.ops.aten


@dataclass(slots=True)
class Cost:
    """The cost of forward passes so far.

    Attributes:
        multiply_adds: Multiply-adds of matrix products, convolutions, attention and recurrent layers, outside norms.
        outputs: Output values of all layers.
        operations: Calls of torch's operations, norms included.
    """

    multiply_adds: int = 0
    outputs: int = 0
    operations: int = 0


@contextmanager
def counting(model: nn.Module) -> Iterator[Cost]:
    """Count the cost of forward passes on the CPU inside the context.

    Args:
        model: The model. Its multiply-adds are those of all operations, whatever calls them, except in norm layers:
            some norms take their means by a matrix product.
    """
    cost = Cost()
    mode = _CountingMode(cost)

    def count(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            cost.outputs += output.numel()

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) or not any(m.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    for norm in norm_layers(model).values():
        hooks.append(norm.register_forward_pre_hook(mode.enter))
        hooks.append(norm.register_forward_hook(mode.leave))
    with mode:
        yield cost
    for hook in hooks:
        hook.remove()


class _Counting:
    """Adds the multiply-adds of each operation outside norm layers to a cost.

    These are not methods of `_CountingMode`, because the first call of a `__torch_dispatch__` that a subclass of
    `TorchDispatchMode` defines imports torch._dynamo, which takes seconds.
    """

    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self.cost = cost
        self.norms = 0

    def enter(self, norm: nn.Module, args: Any) -> None:
        self.norms += 1

    def leave(self, norm: nn.Module, args: Any, output: Any) -> None:
        self.norms -= 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.cost.operations += 1
        if not self.norms and (formula := _FORMULAS.get(func.overloadpacket)):
            self.cost.multiply_adds += formula(out, *args)
        return out


@final
class _CountingMode(_Counting, TorchDispatchMode):  # type: ignore[no-untyped-call]  # its hook for subclasses
    pass


_FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mm: lambda out, a, b, *_: a.numel() * b.shape[-1],
    aten.bmm: lambda out, a, b, *_: a.numel() * b.shape[-1],
    aten.addmm: lambda out, bias, a, b, *_: a.numel() * b.shape[-1],
    aten.baddbmm: lambda out, bias, a, b, *_: a.numel() * b.shape[-1],
    aten.mv: lambda out, a, b: a.numel(),
    aten.convolution: lambda out, x, weight, bias, stride, padding, dilation, transposed, *_: (
        (x if transposed else out).numel() * weight.shape[1:].numel()
    ),
    aten._scaled_dot_product_flash_attention_for_cpu: lambda out, q, k, v, *_: (
        q.shape[:-1].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    ),
    aten.mkldnn_rnn_layer: lambda out, x, weight, hidden_weight, *_: (
        x.shape[:-1].numel() * (weight.numel() + hidden_weight.numel())
    ),
}
"""Multiply-adds of an operation from its result and its arguments.

`torch.utils.flop_counter` has such formulas too, but imports triton for them, and torch._dynamo to apply them.
"""
