"""Tests of somebody else's models with the run's norm in them; the untouched model is the oracle."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.grn import GlobalResponseNorm
from timm.layers.norm import SimpleNorm2d
from timm.layers.norm_act import GroupNorm1Act
from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d

from normbench.errors import ImpossibleRunError
from normbench.models.replacement import replace_norms
from normbench.norms import (
    CHOICES,
    BatchNorm,
    ChannelLayerNorm,
    EvoNormS0,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    NormFactory,
    RMSNorm,
)
from normbench.norms.factory import describe_norms, norm_layers

IMAGES = (4, 3, 32, 32)
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, FrozenBatchNorm2d, BatchNorm)


def timms(name: str) -> Callable[[], nn.Module]:
    sized: dict[str, Any] = {"img_size": 32} if "vit" in name else {}
    return lambda: timm.create_model(name, num_classes=5, **sized)


def torchvisions(name: str, **args: Any) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, num_classes=5, **args)


OF_ONE_KIND: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "torchvision shufflenet": (torchvisions("shufflenet_v2_x0_5"), "batch"),
    "torchvision mobilenet": (torchvisions("mobilenet_v3_small"), "batch"),
    "torchvision vit": (
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5),
        "layer_channels",
    ),
    "timm resnet": (timms("test_resnet"), "batch"),
    "timm efficientnet": (timms("test_efficientnet"), "batch"),
    "timm efficientnet_gn": (timms("test_efficientnet_gn"), "group"),
    "timm efficientnet_ln": (timms("test_efficientnet_ln"), "layer_channels"),
    "timm convnext": (timms("test_convnext"), "layer_channels"),
    "timm vit": (timms("test_vit"), "layer_channels"),
    "torch transformer": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 8, 8),
            nn.Flatten(2),
            Swap(),
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            nn.Flatten(),
            nn.Linear(128, 5),
        ),
        "layer_channels",
    ),
}
"""Models, and the norm of normbench that computes what their own layers do."""


class Swap(nn.Module):
    """(N, C, T) to (N, T, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def replaced(make: Callable[[], nn.Module], norm: str, **args: Any) -> nn.Module:
    return replace_norms(make(), NormFactory(CHOICES[norm], args), name="made up")


def drawn(model: nn.Module) -> dict[str, Tensor]:
    """Return a state in which no scale is one and no shift or mean zero."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: value + torch.rand(value.shape, generator=generator, dtype=torch.float64)
        if value.is_floating_point() and value.ndim == 1
        else value
        for name, value in model.state_dict().items()
    }


@pytest.mark.parametrize(("make", "norm"), OF_ONE_KIND.values(), ids=OF_ONE_KIND)
def test_a_norm_of_the_layers_own_kind_changes_nothing(make: Callable[[], nn.Module], norm: str) -> None:
    """Logits, gradients and statistics are bit for bit those of the untouched model, whose weights load by name."""
    untouched, ours = make().double(), replaced(make, norm).double()
    untouched.load_state_dict(drawn(untouched))
    ours.load_state_dict(untouched.state_dict())
    x = torch.randn(IMAGES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for mode in (True, True, False):
        logits = []
        for model in (untouched, ours):
            torch.manual_seed(2)
            with torch.set_grad_enabled(mode):
                logits.append(model.train(mode)(x))
            if mode:
                torch.autograd.backward(logits[-1].square().sum())
        torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=0)
    torch.testing.assert_close(ours.state_dict(), untouched.state_dict(), rtol=0, atol=0)
    theirs = dict(untouched.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["torchvision shufflenet", "timm resnet", "timm efficientnet"])
@pytest.mark.parametrize("norm", ["group", "none", "layer", "dyt"])
def test_no_batch_norm_is_left(name: str, norm: str) -> None:
    """Each is replaced, whatever its class, and there are as many of the run's as there were."""
    make, _ = OF_ONE_KIND[name]
    before = sum(isinstance(module, BATCH_NORMS) for module in make().modules())
    model = replaced(make, norm)
    assert not any(isinstance(module, BATCH_NORMS) for module in model.modules())
    assert sum(type(module) is CHOICES[norm] for module in model.modules()) == before > 10
    assert list(norm_layers(model)) == [
        name for name, module in make().named_modules() if isinstance(module, BATCH_NORMS)
    ]
    assert model(torch.zeros(IMAGES)).shape == (4, 5)


def test_what_was_replaced_is_said() -> None:
    """Once for the user, and layer by layer for the record."""
    model = replaced(timms("test_efficientnet"), "group", num_groups=2)
    assert model.norm_note == "model=made up: 13 BatchNormAct2d replaced by GroupNorm."
    first, *_ = describe_norms(model).split(" x")
    assert re.match(r"GroupNorm\( \d+, num_groups=2, .* for BatchNormAct2d$", first)


def test_an_activation_within_a_norm_stays() -> None:
    """timm's norm-activation layers keep theirs: what comes out is never negative."""
    model = replaced(timms("test_efficientnet"), "none")
    seen: list[Tensor] = []
    model.get_submodule("bn1").register_forward_hook(lambda _, args, output: seen.append(output))
    model(torch.randn(IMAGES, generator=torch.Generator().manual_seed(0)))
    assert seen[0].min() >= -0.28  # SiLU's minimum


def test_a_norm_with_an_activation_takes_the_place_of_one_with_an_activation() -> None:
    """The other's is gone, and where there was none the norm comes without its own."""
    model = replaced(timms("test_efficientnet"), "evonorm_s0")
    layers = {name: layer for name, layer in norm_layers(model).items() if isinstance(layer, EvoNormS0)}
    untouched = timms("test_efficientnet")()
    for name, layer in layers.items():
        activated = not isinstance(untouched.get_submodule(name).act, nn.Identity)
        assert (layer.v is not None) is activated
        assert isinstance(layer.act, nn.Identity)
    assert len(layers) == 13


OWN_SETTINGS: dict[str, tuple[nn.Module, str, dict[str, Any], dict[str, Any]]] = {
    "batch": (nn.BatchNorm2d(8, eps=1e-3, momentum=0.01), "batch", {}, {"eps": 1e-3, "momentum": 0.01}),
    "cumulative": (nn.BatchNorm2d(8, momentum=None), "batch", {}, {"momentum": None}),
    "the run's": (nn.BatchNorm2d(8, eps=1e-3, momentum=0.01), "batch", {"eps": 1e-4}, {"eps": 1e-4, "momentum": 0.01}),
    "another kind": (nn.BatchNorm2d(8, eps=1e-3), "group", {}, {"eps": 1e-3, "num_groups": 2}),
    "groups": (nn.GroupNorm(8, 8), "group", {}, {"num_groups": 8}),
    "the run's groups": (nn.GroupNorm(8, 8), "group", {"num_groups": 4}, {"num_groups": 4}),
    "no affine": (nn.BatchNorm2d(8, affine=False), "layer", {}, {"weight": None, "bias": None}),
    "untracked": (nn.BatchNorm2d(8, track_running_stats=False), "batch", {}, {"running_mean": None}),
    "instances are not tracked": (nn.InstanceNorm2d(8), "batch", {"affine": True}, {"num_features": 8}),
}


@pytest.mark.parametrize(("layer", "norm", "args", "wanted"), OWN_SETTINGS.values(), ids=OWN_SETTINGS)
def test_what_the_run_leaves_at_its_default_is_the_layers_own(
    layer: nn.Module, norm: str, args: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """The epsilon of an architecture is part of it, unless the run has another."""
    (made,) = norm_layers(replaced(lambda: nn.Sequential(layer), norm, **args)).values()
    assert {key: getattr(made, key) for key in wanted} == wanted


def test_instance_statistics_are_none_of_the_batchs() -> None:
    """Torch's instance norm says that it tracks nothing, which is no setting for a batch norm in its place."""
    (made,) = norm_layers(replaced(lambda: nn.Sequential(nn.InstanceNorm2d(8)), "batch")).values()
    assert made.running_mean is not None


def test_the_initial_state_of_a_norm_is_the_architectures() -> None:
    """A scale that starts at zero does so with another norm too, and what is not trained stays so."""
    norm = nn.BatchNorm2d(8)
    nn.init.zeros_(norm.weight)
    norm.bias.requires_grad_(False)
    (made,) = norm_layers(replaced(lambda: nn.Sequential(norm), "group")).values()
    assert isinstance(made.weight, nn.Parameter) and isinstance(made.bias, nn.Parameter)
    assert not made.weight.any()
    assert (made.weight.requires_grad, made.bias.requires_grad) == (True, False)


def test_a_shared_norm_stays_shared() -> None:
    """One layer in two places is one layer afterwards, counted once."""
    norm = nn.BatchNorm2d(3)
    model = replaced(lambda: nn.Sequential(norm, nn.ReLU(), norm), "batch")
    assert model[0] is model[2]  # type: ignore[index]  # a Sequential
    assert "1 BatchNorm2d replaced" in str(model.norm_note)
    assert "2.weight" in model.state_dict()


class PreActivation(nn.Module):
    """A branch that begins with norm and activation in place, and a shortcut that reads the input after it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(x))
        return x + y


def test_an_activation_in_place_leaves_the_shortcut_alone() -> None:
    """Where a norm returns its input, what comes after it must not write into the input."""
    x = torch.tensor([-1.0, 2.0, -3.0]).view(1, 3, 1, 1)
    assert torch.equal(replaced(PreActivation, "none")(x.clone()), x + x.relu())


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "rms"])
def test_channels_at_the_end_are_those_that_are_normalised(norm: str) -> None:
    """The norm sees (N, C, T) of (N, T, C)."""
    x = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    (alone,) = norm_layers(replaced(lambda: nn.Sequential(nn.LayerNorm(8)), norm)).values()
    wanted = CHOICES[norm](8)(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(alone(x), wanted)


@pytest.mark.parametrize(
    ("norm", "layer", "kind"),
    [
        (nn.InstanceNorm1d(8), InstanceNorm, "instance"),
        (nn.SyncBatchNorm(8), BatchNorm, "batch"),
        (FrozenBatchNorm2d(8), BatchNorm, "batch"),
        (nn.RMSNorm(8), RMSNorm, "rms"),
        (nn.LayerNorm(8), ChannelLayerNorm, "layer_channels"),
        (nn.GroupNorm(2, 8), GroupNorm, "group"),
        (nn.BatchNorm3d(8), LayerNorm, "layer"),
        (nn.BatchNorm1d(8), NoNorm, "none"),
        (SimpleNorm2d(8), GroupNorm, "group"),
        (GroupNorm1Act(8), GroupNorm, "group"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_every_known_layer_is_replaced(norm: nn.Module, layer: type[nn.Module], kind: str) -> None:
    """Torch's, torchvision's and timm's."""
    model = replaced(lambda: nn.Sequential(norm), kind)
    assert type(model[0]) is layer  # type: ignore[index]  # a Sequential


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "unknown": (
        lambda: nn.Sequential(GlobalResponseNorm(3), nn.BatchNorm2d(3)),
        "batch",
        r"0 \(GlobalResponseNorm\)",
    ),
    "with activation": (timms("test_efficientnet_evos"), "batch", r"\(EvoNorm2dS0\)"),
    "weight norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
        "batch",
        r"_WeightNorm",
    ),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
        "batch",
        r"_SpectralNorm",
    ),
    "old spectral norm": (
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
        "batch",
        r"0 \(Linear with SpectralNorm on its weights\)",
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyBatchNorm2d()), "batch", r"0 \(LazyBatchNorm2d, size"),
    "positions": (lambda: nn.Sequential(nn.LayerNorm([3, 4])), "batch", r"LayerNorm over \(3, 4\)"),
    "local response": (
        lambda: nn.Sequential(nn.LocalResponseNorm(2), nn.BatchNorm2d(3)),
        "batch",
        r"0 \(LocalResponseNorm\)",
    ),
    "subclass": (
        lambda: nn.Sequential(type("Centring", (nn.BatchNorm2d,), {})(3)),
        "batch",
        r"0 \(Centring\)",
    ),
    "none at all": (lambda: nn.Sequential(nn.Linear(3, 3)), "batch", "no normalization layer"),
    "activation beside": (timms("test_resnet"), "frn", r"separate activations for conv1.1 \(BatchNorm2d\)"),
    "weights": (timms("test_resnet"), "scaled_weight", "changes the weights of the layer before it"),
    "kept synchronized": (
        lambda: nn.Sequential(nn.SyncBatchNorm(3)),
        "keep",
        "SyncBatchNorm, which needs several GPUs",
    ),
}


@pytest.mark.parametrize(("make", "norm", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_replaced_is_refused_by_name(make: Callable[[], nn.Module], norm: str, message: str) -> None:
    """Nothing that normalises is skipped in silence."""
    with pytest.raises(ImpossibleRunError, match=message):
        replaced(make, norm)


def test_a_block_called_by_the_norm_inside_is_no_norm() -> None:
    """timm's ConvNormAct and the like are looked at layer by layer; so is a Normalize by constants let pass."""
    block = nn.Sequential(ConvNormAct(3, 3, apply_norm=False), nn.BatchNorm2d(3))
    assert len(norm_layers(replaced(lambda: block, "group"))) == 1


def test_keep_leaves_all_alone() -> None:
    """The model is the untouched one, its layers the run's norms to whoever asks."""
    model = replaced(timms("test_efficientnet"), "keep")
    assert model.norm_note == "model=made up: 13 BatchNormAct2d kept, so its three test accuracies are the same."
    untouched = timms("test_efficientnet")()
    assert [type(module) for module in model.modules()] == [type(module) for module in untouched.modules()]
    assert describe_norms(model).startswith("BatchNormAct2d( ")
