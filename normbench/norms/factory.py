"""What a model is given to make its norms with."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class NormFactory:
    """A norm class and the keyword arguments that every layer of a model gives it.

    Attributes:
        norm: Class or function, called as ``norm(num_features, **args)``.
        args: Keyword arguments; not to be changed.
    """

    norm: Callable[..., nn.Module]
    args: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, num_features: int, *, activated: bool = True) -> nn.Module:
        """Return a new norm for `num_features` channels, to be found again by `norm_layers`.

        Args:
            num_features: Channels that come in.
            activated: False makes a norm that includes an activation without it; does nothing to others.
        """
        own = {} if activated or not self.includes_activation else {"activated": False}
        layer = self.norm(num_features, **self.args, **own)
        mark_norm_layer(layer)
        return layer

    def weighted(self, layer: nn.Module) -> nn.Module:
        """Return a linear or convolutional layer as the norm after it wants it: most take it as it is.

        A norm's static method ``weighted`` may put another in its place that bears the same parameters by the same
        names.
        """
        change: Callable[[nn.Module], nn.Module] | None = getattr(self.norm, "weighted", None)
        return layer if change is None else change(layer)

    @property
    def removes_channel_mean(self) -> bool:
        """Whether a bias a channel just before the norm has no effect; False where the norm does not say."""
        return bool(getattr(self.norm, "removes_channel_mean", False))

    @property
    def includes_activation(self) -> bool:
        """Whether the norm is an activation too, so that none may follow it; False where the norm does not say."""
        return bool(getattr(self.norm, "includes_activation", False))

    @property
    def changes_weights(self) -> bool:
        """Whether the norm works on the weights of the layer before it; False where the norm does not say."""
        return hasattr(self.norm, "weighted")


def mark_norm_layer(layer: nn.Module, *, in_place_of: str = "") -> None:
    """Let `norm_layers` find a layer.

    Args:
        layer: The layer.
        in_place_of: Class of the layer whose place it took.
    """
    object.__setattr__(layer, "is_norm_layer", True)
    object.__setattr__(layer, "in_place_of", in_place_of)


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a model that are the run's norms, by their qualified name, in the order of the model.

    A `NormFactory` made them, or `mark_norm_layer` was told of them.
    """
    return {name: module for name, module in model.named_modules() if getattr(module, "is_norm_layer", False)}


def describe_norms(model: nn.Module) -> str:
    """Return the kinds of norm layers of a model with their arguments and counts, such as ``GroupNorm(16, ...) x3``.

    Where they took the place of others it says so: ``GroupNorm(16, ...) for BatchNorm2d x3``.
    """
    counts = Counter(map(_description, norm_layers(model).values()))
    return ", ".join(f"{kind} x{count}" for kind, count in counts.items())


def _description(layer: nn.Module) -> str:
    replaced = getattr(layer, "in_place_of", "")
    return " ".join(repr(layer).split()) + (f" for {replaced}" if replaced else "")
