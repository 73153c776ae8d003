"""Normalization without a layer: functions that a model's forward pass calls directly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from normbench.errors import ImpossibleRunError
from normbench.models.replacement import shortened
from normbench.norms.factory import norm_layers

_NAMES = ("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm", "local_response_norm")
_FUNCTIONS = {getattr(package, name): name for package in (F, torch) for name in _NAMES if hasattr(package, name)}


@contextmanager
def refusing_hidden_norms(model: nn.Module) -> Iterator[None]:
    """Refuse functional norms that a forward pass inside the context calls outside the run's norm layers.

    Args:
        model: The result of `replace_norms`; other models, and those with kept norms, are not checked.

    Raises:
        ImpossibleRunError: When the context exits, if any was called.
    """
    norms = norm_layers(model)
    if not any(getattr(layer, "in_place_of", "") for layer in norms.values()):
        yield
        return
    where: list[str] = []
    found: dict[str, str] = {}

    def enter(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, _: where.append(name)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        where.pop()

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in _FUNCTIONS and not norms.keys() & set(where):
                kind = type(model.get_submodule(where[-1])).__name__
                found[where[-1] or "forward"] = f"{_FUNCTIONS[func]} in {kind}"
            return func(*args, **(kwargs or {}))

    hooks = [module.register_forward_pre_hook(enter(name)) for name, module in model.named_modules()]
    hooks += [module.register_forward_hook(leave) for module in model.modules()]
    with Watch():
        yield
    for hook in hooks:
        hook.remove()
    if found:
        raise ImpossibleRunError(
            f"the model calls norm functions in its forward pass, which cannot be replaced: {shortened(found)}; "
            "use norm=keep."
        )
