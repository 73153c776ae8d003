"""The models of timm by name, with their norms replaced by the run's."""

from typing import Any

from torch import nn

from normbench.errors import ConfigError, nearest
from normbench.models.replacement import replace_norms
from normbench.norms.factory import NormFactory


def timm(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, architecture: str = "resnet10t"
) -> nn.Module:
    """Return a model of timm (Wightman 2019) with the norm of the run and timm's initialisation.

    Nothing is downloaded; `model.weights` loads a file. Models of a fixed input size are built for the image size.

    Args:
        input_shape: (C, H, W).
        num_classes: Classes K.
        norm: Makes the layers; see `replace_norms`.
        architecture: Name in `timm.list_models()`.

    Raises:
        ConfigError: If timm is not installed or knows no such name.
        ImpossibleRunError: If the norms cannot be replaced.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError("model=timm needs the package timm: pip install 'normbench[timm]'.") from error
    # For other names timm.create_model would access the network.
    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        known = nearest(name, timm.list_models(), "python -c 'import timm; print(timm.list_models())'")
        raise ConfigError(f"model.architecture: timm has no model {architecture!r}{known}")
    published = timm.get_pretrained_cfg(name)
    sized: dict[str, Any] = {"img_size": input_shape[1:]} if published and published.fixed_input_size else {}
    model = timm.create_model(name, num_classes=num_classes, in_chans=input_shape[0], **sized)
    return replace_norms(model, norm, name=f"timm {architecture}")
