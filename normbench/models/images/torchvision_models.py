"""Torchvision's classification models by name, with their norms replaced by the run's."""

from typing import Any

from torch import nn

from normbench.errors import ConfigError, ImpossibleRunError, nearest
from normbench.models.replacement import replace_norms
from normbench.norms.factory import NormFactory

_OWN_ARGUMENTS: dict[str, dict[str, Any]] = {
    # Their auxiliary classifier, used only in training, would change what the model returns.
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def torchvision(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, architecture: str = "mobilenet_v3_small"
) -> nn.Module:
    """Return a classification model of torchvision with the norm of the run and torchvision's initialisation.

    Nothing is downloaded; `model.weights` loads a file. Vision transformers are built for the image size. If images do
    not have three channels, the first convolution is replaced, with torch's default initialisation.

    Args:
        input_shape: (C, H, W).
        num_classes: Classes K.
        norm: Makes the layers; see `replace_norms`.
        architecture: Name in ``torchvision.models.list_models(module=torchvision.models)``.

    Raises:
        ConfigError: If torchvision knows no such name.
        ImpossibleRunError: If the norms cannot be replaced, or images for a vision transformer are not square.
    """
    # Torchvision takes seconds to import; most runs do without.
    import torchvision

    models = torchvision.models
    known = models.list_models(module=models)
    if architecture not in known:
        command = "python -c 'from torchvision import models; print(models.list_models(module=models))'"
        raise ConfigError(
            f"model.architecture: torchvision has no model {architecture!r}{nearest(architecture, known, command)}"
        )
    channels, height, width = input_shape
    args = _OWN_ARGUMENTS.get(architecture, {})
    if architecture.startswith("vit_"):
        if height != width:
            raise ImpossibleRunError(f"model=torchvision {architecture} needs square images, got {height}x{width}.")
        args = {"image_size": height}
    model: nn.Module = models.get_model(architecture, num_classes=num_classes, **args)
    if channels != 3:
        take_channels(model, channels)
    return replace_norms(model, norm, name=f"torchvision {architecture}")


def take_channels(model: nn.Module, channels: int) -> None:
    """Replace the first convolution of a model by one for `channels` input channels, with new weights."""
    name, old = next((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]  # a pair, as nn.Conv2d keeps it
        stride=old.stride,  # type: ignore[arg-type]  # the same
        padding=old.padding,  # type: ignore[arg-type]  # the same
        bias=old.bias is not None,
    )
    model.set_submodule(name, new)
