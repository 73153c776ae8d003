"""What stands before and after each norm of a model, by the tensors of a forward pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_KINDS = {
    "linear": "linear conv1d conv2d conv3d",
    "activation": "relu relu_ relu6 hardtanh elu selu celu gelu silu mish leaky_relu prelu softplus sigmoid "
    "hardsigmoid tanh hardswish",
    "norm": "batch_norm layer_norm group_norm instance_norm rms_norm",
    "sum": "add add_ __add__ __iadd__ __radd__",
    "passing": "view reshape flatten permute transpose contiguous chunk dropout roll squeeze unsqueeze __getitem__ "
    "expand movedim",
}
"""Functions by what they are to a norm; values pass through the last row unchanged, but moved or dropped."""

_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class NormPlace:
    """Where a norm stands.

    Attributes:
        norm: The function that it calls, such as `batch_norm`.
        after_linear: Whether its input is the output of a convolution or linear layer.
        after_activation: Whether its input is the output of an activation.
        before_activation: Whether its output goes into an activation, directly or in a residual sum.
    """

    norm: str
    after_linear: bool
    after_activation: bool
    before_activation: bool

    @property
    def between(self) -> bool:
        """Whether it stands between a convolution or linear layer and an activation."""
        return self.after_linear and self.before_activation


def places(model: nn.Module, image: Tensor) -> list[NormPlace]:
    """Return the place of every norm that a forward pass calls, in the order of the calls.

    Functions count as well as layers.

    Args:
        model: The model.
        image: Its input, on the device of the model.
    """
    calls = _Calls()
    with torch.no_grad(), image.device, calls:
        model(image)
    return [_place(call) for call in calls.made if call.kind == "norm"]


@dataclass(eq=False, slots=True)
class _Call:
    """A call of a function in a forward pass, with the calls whose outputs it takes and that take its own."""

    name: str
    sources: list["_Call"]
    takers: list["_Call"] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return _KIND_OF.get(self.name, "")


class _Calls(TorchFunctionMode):
    """Records the calls of a forward pass. It keeps all tensors, so that none gets the id of an earlier one."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[_Call] = []
        self._origin: dict[int, _Call] = {}
        self._kept: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Before the call: an operation in place returns its input.
        sources = [self._origin[id(one)] for one in _tensors((args, kwargs)) if id(one) in self._origin]
        result = func(*args, **kwargs)
        if outputs := list(_tensors(result)):
            call = _Call(func.__name__, sources)
            for source in sources:
                source.takers.append(call)
            self.made.append(call)
            self._kept += outputs
            self._origin.update((id(output), call) for output in outputs)
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _place(call: _Call) -> NormPlace:
    source = call
    while source.sources and (source is call or source.kind == "passing"):
        source = source.sources[0]
    before = "" if source is call else source.kind
    return NormPlace(call.name, before == "linear", before == "activation", _reaches_activation(call))


def _reaches_activation(call: _Call) -> bool:
    seen, waiting = set(), list(call.takers)
    while waiting:
        taker = waiting.pop()
        if taker.kind == "activation":
            return True
        if taker.kind in ("passing", "sum") and taker not in seen:
            seen.add(taker)
            waiting += taker.takers
    return False
