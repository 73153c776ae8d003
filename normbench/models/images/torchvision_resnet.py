"""Torchvision's residual networks with a norm of choice."""

from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.models.dials import Dials
from normbench.models.images.resnet import refuse_missing_gamma
from normbench.models.initialization import Initialization
from normbench.norms.factory import NormFactory


def resnet18(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    init: str = "he",
    init_scale: float = 1.0,
    zero_init_residual: bool = False,
) -> nn.Module:
    """Return torchvision's ResNet-18; see `build`."""
    return build(
        "resnet18", input_shape, num_classes, norm, Dials(init=init, init_scale=init_scale), zero_init_residual
    )


def resnet34(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    init: str = "he",
    init_scale: float = 1.0,
    zero_init_residual: bool = False,
) -> nn.Module:
    """Return torchvision's ResNet-34; see `build`."""
    return build(
        "resnet34", input_shape, num_classes, norm, Dials(init=init, init_scale=init_scale), zero_init_residual
    )


def resnet50(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    init: str = "he",
    init_scale: float = 1.0,
    zero_init_residual: bool = False,
) -> nn.Module:
    """Return torchvision's ResNet-50; see `build`."""
    return build(
        "resnet50", input_shape, num_classes, norm, Dials(init=init, init_scale=init_scale), zero_init_residual
    )


def build(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    dials: Dials,
    zero_init_residual: bool,
) -> nn.Module:
    """Return a residual network of He et al. (2016) as torchvision builds it, for ImageNet-like images.

    Torchvision's convolutions have no bias for any norm: without norms, the head's bias is the only one. If images do
    not have three channels, the first convolution is replaced.

    Args:
        name: Name in `torchvision.models`.
        input_shape: (C, H, W).
        num_classes: Classes K.
        norm: Makes the norm after each convolution.
        dials: Only `init` (he, xavier) and `init_scale` apply.
        zero_init_residual: Whether the gamma of each branch's last norm starts at 0 (Goyal et al. 2017).

    Returns:
        A module that maps (N, C, H, W) to logits (N, K).

    Raises:
        ConfigError: If a dial is wrong.
        ImpossibleRunError: If `init` works only on branches of `resnet`, `zero_init_residual` finds no gamma, or the
            norm works only in normbench's own layers.
    """
    dials.refuse_residual_init(name)
    if norm.includes_activation or norm.changes_weights:
        raise ImpossibleRunError(
            f"the norm includes an activation or changes the convolution before it, and model={name} builds its own; "
            "use model=resnet, or another norm."
        )
    # Torchvision takes seconds to import; most runs do without.
    import torchvision

    model = getattr(torchvision.models, name)(num_classes=num_classes, norm_layer=norm)
    assert isinstance(model, nn.Module)
    if input_shape[0] != 3:
        model.conv1 = nn.Conv2d(input_shape[0], 64, kernel_size=7, stride=2, padding=3, bias=False)
    gammas = _gamma_names(model) if zero_init_residual else []
    init = Initialization(dials.init, scale=dials.init_scale, constants=dict.fromkeys(gammas, 0.0))
    model.init = init  # type: ignore[assignment]  # nn.Module takes any attribute
    return model


def _gamma_names(model: nn.Module) -> list[str]:
    """Return the names of the scales of each branch's last norm: bn3 of a bottleneck, otherwise bn2."""
    names = []
    for prefix, module in model.named_modules():
        last = "bn3" if hasattr(module, "bn3") else "bn2"
        if hasattr(module, last):
            refuse_missing_gamma(module.get_submodule(last))
            names.append(f"{prefix}.{last}.weight")
    return names
