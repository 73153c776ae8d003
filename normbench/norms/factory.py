"""The factory with which a model makes its norms."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class NormFactory:
    """A norm class and the keyword arguments for every norm layer of a model.

    Attributes:
        norm: Class or function, called as ``norm(num_features, **args)``.
        args: Keyword arguments; do not modify.
    """

    norm: Callable[..., nn.Module]
    args: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, num_features: int, *, activated: bool = True) -> nn.Module:
        """Return a new norm for `num_features` channels; `norm_layers` finds it.

        Args:
            num_features: Input channels.
            activated: False makes a norm that includes an activation without it; no effect on others.
        """
        own = {} if activated or not self.includes_activation else {"activated": False}
        layer = self.norm(num_features, **self.args, **own)
        mark_norm_layer(layer)
        return layer

    def weighted(self, layer: nn.Module) -> nn.Module:
        """Return a linear or convolutional layer as the norm after it needs it: unchanged for most norms.

        A norm's static method ``weighted`` may replace it by a layer with the same parameters under the same names.
        """
        change: Callable[[nn.Module], nn.Module] | None = getattr(self.norm, "weighted", None)
        return layer if change is None else change(layer)

    @property
    def removes_channel_mean(self) -> bool:
        """Whether a bias per channel just before the norm has no effect; False if the norm does not declare it."""
        return bool(getattr(self.norm, "removes_channel_mean", False))

    @property
    def includes_activation(self) -> bool:
        """Whether the norm includes an activation, so that none may follow it; False if it does not declare it."""
        return bool(getattr(self.norm, "includes_activation", False))

    @property
    def changes_weights(self) -> bool:
        """Whether the norm changes the weights of the layer before it; False if it does not declare it."""
        return hasattr(self.norm, "weighted")


def mark_norm_layer(layer: nn.Module, *, in_place_of: str = "") -> None:
    """Mark a layer for `norm_layers`.

    Args:
        layer: The layer.
        in_place_of: Class of the layer that it replaced.
    """
    object.__setattr__(layer, "is_norm_layer", True)
    object.__setattr__(layer, "in_place_of", in_place_of)


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the norm layers of a model by qualified name, in the order of the model.

    These are the layers made by a `NormFactory` or marked by `mark_norm_layer`.
    """
    return {name: module for name, module in model.named_modules() if getattr(module, "is_norm_layer", False)}


def describe_norms(model: nn.Module) -> str:
    """Return the types of norm layers of a model with arguments and counts, such as ``GroupNorm(16, ...) x3``.

    Replaced layers are named too: ``GroupNorm(16, ...) for BatchNorm2d x3``.
    """
    counts = Counter(map(_description, norm_layers(model).values()))
    return ", ".join(f"{kind} x{count}" for kind, count in counts.items())


def _description(layer: nn.Module) -> str:
    replaced = getattr(layer, "in_place_of", "")
    return " ".join(repr(layer).split()) + (f" for {replaced}" if replaced else "")
