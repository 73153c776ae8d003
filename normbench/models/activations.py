"""The activations by name; importing this module does not import torch, so that a config check stays fast."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Activation:
    """One choice of `model.activation`.

    Attributes:
        module: Name of the class in `torch.nn`, used with its defaults.
        gain: Name for `torch.nn.init.calculate_gain`. That function has none for elu, gelu and silu: they use relu's,
            as their authors did.
    """

    module: str
    gain: Literal["relu", "leaky_relu", "tanh", "sigmoid"]


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("ReLU", "relu"),
    "leaky_relu": Activation("LeakyReLU", "leaky_relu"),
    "elu": Activation("ELU", "relu"),
    "gelu": Activation("GELU", "relu"),
    "silu": Activation("SiLU", "relu"),
    "tanh": Activation("Tanh", "tanh"),
    "sigmoid": Activation("Sigmoid", "sigmoid"),
}


def build_activation(name: str) -> "nn.Module":
    """Return a new activation module.

    Args:
        name: A key of `ACTIVATIONS`.
    """
    from torch import nn

    module = getattr(nn, ACTIVATIONS[name].module)()
    assert isinstance(module, nn.Module)
    return module


def activation_gain(name: str) -> float:
    """Return the gain that preserves the scale of a signal through the activation `name`.

    Args:
        name: A key of `ACTIVATIONS`.
    """
    from torch import nn

    # leaky_relu's gain is for a slope of 0.01, also the module's default.
    return float(nn.init.calculate_gain(ACTIVATIONS[name].gain))
