"""Loading of weights from a file, of the same model or one with other norms or another number of classes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.norms.factory import norm_layers

_NESTED = ("state_dict", "model")
"""Keys under which training scripts store the weights next to other things."""

_NAMED = 3


class Loaded(NamedTuple):
    """The result of loading a file of weights.

    Attributes:
        notes: Notes for the user.
        statistics: Whether running statistics of norms were loaded from it.
    """

    notes: tuple[str, ...]
    statistics: bool


def load_weights(model: nn.Module, file: str, num_classes: int) -> Loaded:
    """Load the weights of a file into a model, including the statistics of its norms.

    Norm entries missing in the file stay as constructed; norm entries that the model does not have are left out. A head
    for another number of classes stays newly initialised. Everything else must match by name and shape.

    Args:
        model: The model, changed in place.
        file: A state dict, as safetensors or written by `torch.save`.
        num_classes: Classes K, to identify a head.

    Returns:
        What was left out.

    Raises:
        ConfigError: If the file cannot be read.
        ImpossibleRunError: If it does not fit the model.
    """
    given, state = _read(Path(file)), model.state_dict()
    layers = {id(layer) for layer in norm_layers(model).values()}
    norms = {name for name, module in model.named_modules(remove_duplicate=False) if id(module) in layers}

    def of_norm(key: str) -> bool:
        return key.rpartition(".")[0] in norms

    missing = [key for key in state if key not in given]
    unknown = [key for key in given if key not in state]
    reshaped = [key for key in state if key in given and state[key].shape != given[key].shape]
    heads = [key for key in reshaped if _is_head(model, key, given[key], num_classes)]
    wrong = {
        "missing": [key for key in missing if not of_norm(key)],
        "unknown": [key for key in unknown if not of_norm(key)],
        "of another shape": [
            f"{key} {tuple(given[key].shape)}, expected {tuple(state[key].shape)}"
            for key in reshaped
            if key not in heads
        ],
    }
    if any(wrong.values()):
        what = "; ".join(f"{kind}: {_shortened(keys)}" for kind, keys in wrong.items() if keys)
        raise ImpossibleRunError(f"model.weights={file} does not fit the model. {what[0].upper()}{what[1:]}.")
    fitting = {key: value for key, value in given.items() if key in state and key not in heads}
    model.load_state_dict({**state, **fitting})
    told = (
        ("for another number of classes: newly initialised", heads),
        ("of norms, missing in the file: as constructed", [key for key in missing if of_norm(key)]),
        ("of norms, unknown to the model's norms: left out", [key for key in unknown if of_norm(key)]),
    )
    return Loaded(
        tuple(f"model.weights: {_shortened(keys)} ({what})." for what, keys in told if keys),
        any(key.endswith(".running_var") for key in fitting),
    )


def _is_head(model: nn.Module, key: str, given: Tensor, num_classes: int) -> bool:
    """Return whether an entry belongs to a layer with outputs for each class, and differs only in their number.

    These are layers with one output per class, and those that the model names in its attribute ``per_class``.
    """
    layer = key.rpartition(".")[0]
    own = model.state_dict()[key].shape
    outputs = own[0] == num_classes or layer in getattr(model, "per_class", ())
    return isinstance(model.get_submodule(layer), nn.Linear | nn.Conv2d) and outputs and own[1:] == given.shape[1:]


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(f"model.weights={path}: no such file.")
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    except ImportError as error:
        raise ConfigError(f"model.weights={path} needs the package safetensors: pip install safetensors.") from error
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise different errors
        raise ConfigError(
            f"model.weights={path} cannot be read ({type(error).__name__}): expected a state dict, as .safetensors or "
            "from torch.save without objects of other types."
        ) from error
    for name in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"model.weights={path} has no state dict: expected tensors by name.")
    state = {str(key): value for key, value in content.items()}
    # What DistributedDataParallel adds.
    consume_prefix_in_state_dict_if_present(state, "module.")
    return state


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _pickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _shortened(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
