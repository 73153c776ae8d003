"""Initial weights: each from the random stream of its name, by the scheme that the model declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt

import torch
from torch import Tensor, nn

from normbench.models.activations import activation_gain
from normbench.models.layers import NormedLayer

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class Initialization:
    """The initialisation scheme of a model, declared as its attribute ``init``.

    With s = `scale`, f = the weight's factor and g the gain of the activation:

    - `he`: normal, standard deviation s f g / sqrt(fan_in) (He et al. 2015). The gain compensates for the activation
      before the layer; the first layer, which has none before it, uses it too, as is common.
    - `xavier`: normal, standard deviation s f sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    Embeddings are normal with standard deviation s f. Biases are zero, except for `bias`. Everything else (norms,
    scalars of residual branches) stays as constructed, except for `constants`.

    Attributes:
        distribution: `he` or `xavier`.
        activation: A key of `ACTIVATIONS`, for the gain.
        scale: Multiplies every drawn weight.
        factors: Factors for single weights, by parameter name; 0 draws nothing.
        constants: Values for whole parameters, by name.
        bias: Value for the `bias` of each `NormedLayer`; 0 keeps a norm's beta as constructed.
    """

    distribution: str
    activation: str = "relu"
    scale: float = 1.0
    factors: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    bias: float = 0.0

    def deviation(self, weight: Tensor) -> float:
        """Return the standard deviation of a weight, (out, in, ...), without its factor."""
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
        if self.distribution == "xavier":
            return self.scale * sqrt(2 / (fan_in + fan_out))
        return self.scale * activation_gain(self.activation) / sqrt(fan_in)


@torch.no_grad()
def initialize(model: nn.Module, stream: Callable[[str], torch.Generator]) -> None:
    """Draw the weights of a model's linear and convolutional layers and embeddings, and set biases.

    Each weight comes from the stream of its name: models with one seed share every weight with the same name and shape,
    whatever else they contain. The numbers are drawn in float32 on the generator's device, so they do not depend on the
    model's dtype or device. A model without an `Initialization` as attribute ``init``, such as a user's, stays as
    constructed.

    Args:
        model: The model, changed in place.
        stream: Maps a parameter's name, such as ``layers.0.layer.weight``, to its generator.

    Raises:
        ImpossibleRunError: If `bias` is set and a layer has none.
    """
    init = getattr(model, "init", None)
    if not isinstance(init, Initialization):
        return
    for prefix, module in model.named_modules():
        if not isinstance(module, (*_LAYERS, nn.Embedding)):
            continue
        name = f"{prefix}.weight" if prefix else "weight"
        deviation = init.scale if isinstance(module, nn.Embedding) else init.deviation(module.weight)
        _draw(module.weight, deviation * init.factors.get(name, 1.0), name, stream)
        if not isinstance(module, nn.Embedding) and module.bias is not None:
            module.bias.zero_()
    for layer in model.modules() if init.bias else ():
        if isinstance(layer, NormedLayer):
            layer.bias.fill_(init.bias)
    for name, value in init.constants.items():
        model.get_parameter(name).fill_(value)


def _draw(weight: Tensor, deviation: float, name: str, stream: Callable[[str], torch.Generator]) -> None:
    if deviation == 0:
        weight.zero_()
        return
    generator = stream(name)
    drawn = torch.empty(weight.shape, device=generator.device).normal_(0, deviation, generator=generator)
    weight.copy_(drawn)
