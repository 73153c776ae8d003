"""A user's model with its norms replaced by the run's norm."""

import inspect
import pkgutil
from typing import Any

from torch import nn

from normbench.errors import ConfigError, described
from normbench.models.replacement import replace_norms
from normbench.norms.factory import NormFactory

_OUTPUTS = ("num_classes", "num_labels")


def own(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, source: str | None = None, **args: Any
) -> nn.Module:
    """Return the model that a user's function or class makes, with the norm of the run; see `replace_norms`.

    Args:
        input_shape: (C, H, W), not passed on.
        num_classes: Classes K, passed on as ``num_classes`` or ``num_labels`` if the source takes one of them.
        norm: Makes the layers.
        source: Dotted path of the function or class, such as ``my_package.make_net``.
        **args: Keyword arguments of the source.

    Raises:
        ConfigError: If there is no source, it cannot be imported, or its result is not a module.
        ImpossibleRunError: If the norms cannot be replaced.
    """
    if source is None:
        raise ConfigError("model=own needs a function or class that makes the model: model.source=my_package.make_net.")
    try:
        make = pkgutil.resolve_name(source)
    except Exception as error:
        raise ConfigError(f"model.source={source}: {described(error)}") from error
    if not callable(make):
        raise ConfigError(f"model.source={source}: not a class or function.")
    parameters = inspect.signature(make).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    outputs = [name for name in _OUTPUTS if name in parameters] or ["num_classes"] * takes_any
    model = make(**{**dict.fromkeys(outputs, num_classes), **args})
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model.source={source}: got {type(model).__name__}, expected a torch.nn.Module.")
    return replace_norms(model, norm, name=f"own {source}")
