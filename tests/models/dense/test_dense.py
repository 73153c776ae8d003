"""What every network for many places of an image does with every norm."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.dense.ssd import PRIOR
from normbench.models.dropout import draw_masks
from normbench.models.initialization import initialize
from normbench.models.registry import REGISTRY, refuse_other_inputs
from normbench.models.weights import load_weights
from normbench.norms import REGISTRY as NORMS
from normbench.norms import NormFactory
from normbench.norms.factory import norm_layers
from normbench.norms.none import NoNorm
from normbench.randomness import generator
from normbench.shapes import BoxShape, PixelShape

SHAPES: dict[str, tuple[int, ...]] = {
    "unet": PixelShape(3, 12, 10),
    "fcn": PixelShape(3, 12, 10),
    "ssd": BoxShape(3, 12, 10, boxes=2),
}
SMALL: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "depth": 3},
    "fcn": {"width": 4, "depth": 8},
    "ssd": {"width": 4, "depth": 8, "anchors": [3.0, 5.0]},
}
OUTPUTS: dict[str, tuple[int, ...]] = {
    "unet": (4, 5, 12, 10),
    "fcn": (4, 5, 12, 10),
    "ssd": (4, 3 * 3 * 2, 4 + 4 + 5),
}
RESIDUAL = ("fcn", "ssd")


def build(model: str, norm: str, seed: int = 0, **settings: Any) -> nn.Module:
    module = REGISTRY[model](SHAPES[model], 5, NormFactory(NORMS[norm]), **{**SMALL[model], **settings})
    initialize(module, lambda name: generator(seed, name))
    return module


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("norm", NORMS)
def test_every_model_trains_with_every_norm(model: str, norm: str) -> None:
    """Outputs have their shape, and each parameter a finite gradient, on maps of odd sizes too."""
    module = build(model, norm).double()
    outputs = module(images())
    assert outputs.shape == OUTPUTS[model]
    torch.autograd.backward(outputs.square().mean())
    assert all(param.grad is not None and param.grad.isfinite().all() for param in module.parameters())
    assert module.eval()(images(1)).shape == (1, *OUTPUTS[model][1:])


@pytest.mark.parametrize("model", SHAPES)
def test_norms_share_the_initial_weights(model: str) -> None:
    """With and without norms in the head."""
    reference = {name: value for name, value in build(model, "none").named_parameters() if value.ndim > 1}
    for module in (build(model, "batch"), build(model, "batch", head_norm=False), build(model, "group")):
        weights = {name: value for name, value in module.named_parameters() if value.ndim > 1}
        assert weights.keys() == reference.keys()
        assert all(torch.equal(value, reference[name]) for name, value in weights.items())


@pytest.mark.parametrize("model", SHAPES)
def test_the_norms_of_the_head_are_a_dial(model: str) -> None:
    """Without them the others stay, and the layers of the head get a bias instead."""
    layers, fewer = (norm_layers(build(model, "batch", head_norm=on)) for on in (True, False))
    gone = {name for name, layer in fewer.items() if isinstance(layer, NoNorm)}
    assert layers.keys() == fewer.keys() and gone and gone < fewer.keys()
    own = dict(build(model, "batch", head_norm=False).named_parameters())
    assert all(f"{name.removesuffix('norm')}layer.bias" in own for name in gone)


@pytest.mark.parametrize("model", SHAPES)
def test_an_initial_bias_and_dropout_reach_the_head(model: str) -> None:
    """They are dials of every model."""
    module = build(model, "batch", bias_init=-0.5, dropout=0.5)
    params = dict(module.named_parameters())
    assert all((params[f"{name}.bias"] == -0.5).all() for name in norm_layers(module))
    draw_masks(module, 4, generator(0, "dropout"))
    outputs = module(images().float())
    draw_masks(module, 4, generator(1, "dropout"))
    assert not torch.equal(outputs, module(images().float()))


@pytest.mark.parametrize("model", RESIDUAL)
@pytest.mark.parametrize("init", ["fixup", "skipinit"])
def test_residual_models_start_without_norms(model: str, init: str) -> None:
    """Their branches start at zero, so that the last block passes on what the stem made."""
    module = build(model, "none", init=init)
    assert isinstance(module.stem, nn.Module) and isinstance(module.blocks, nn.ModuleList)
    x = module.stem(images().float())
    torch.testing.assert_close(module.blocks[0](x), x)


def test_a_detector_looks_around_each_place_and_expects_background() -> None:
    """Anchors come by place and then by size, and the first scores are near the prior."""
    model = build("ssd", "batch").eval()
    with torch.no_grad():
        anchors, _, logits = model(images().float()).split((4, 4, 5), dim=-1)
    assert anchors[0, :3].tolist() == [[0.5, 0.5, 3.5, 3.5], [-0.5, -0.5, 4.5, 4.5], [4.5, 0.5, 7.5, 3.5]]
    assert anchors[0, 6].tolist() == [0.5, 4.5, 3.5, 7.5]
    assert logits.sigmoid().median() < 2 * PRIOR


@pytest.mark.parametrize("model", SHAPES)
def test_weights_of_a_model_for_other_classes_leave_its_head_new(model: str, tmp_path: Path) -> None:
    """Everything else comes from the file, statistics of the norms too."""
    args = NormFactory(NORMS["batch"]), SMALL[model]
    torch.save(REGISTRY[model](SHAPES[model], 3, args[0], **args[1]).state_dict(), tmp_path / "three.pt")
    module = build(model, "batch")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    notes, statistics = load_weights(module, str(tmp_path / "three.pt"), 5)
    assert statistics and "for another number of classes: newly initialised" in notes[0]
    same = {name for name, value in module.state_dict().items() if torch.equal(value, before[name])}
    assert {"head.weight", "head.bias"} <= same
    assert not any("layer.weight" in name for name in same)


def test_what_does_not_fit_is_refused() -> None:
    """Images too small to halve, an init without branches, zero scales without a norm, a norm after Fixup."""
    with pytest.raises(ImpossibleRunError, match=r"images of 12x10 are too small: model.depth=5 halves them 4 times"):
        build("unet", "batch", depth=5)
    with pytest.raises(ImpossibleRunError, match=r"model.init=fixup needs residual branches"):
        build("unet", "none", init="fixup")
    with pytest.raises(ImpossibleRunError, match="zeroes the scale"):
        build("fcn", "none", zero_init_residual=True)
    with pytest.raises(ImpossibleRunError, match="fixup replaces the norms"):
        build("fcn", "batch", init="fixup")
    with pytest.raises(ConfigError, match="expected 6n"):
        build("fcn", "batch", depth=9)


def test_inputs_of_other_tasks_are_refused() -> None:
    """A classifier has no output for each pixel, and the message names models that have."""
    with pytest.raises(ImpossibleRunError, match="gives images with a class for each pixel; choose model=unet or"):
        refuse_other_inputs("resnet", SHAPES["unet"], "segmentation")
    with pytest.raises(ImpossibleRunError, match="model=unet takes images with a class for each pixel, and task=c"):
        refuse_other_inputs("unet", (3, 12, 10), "classification")


def test_a_detector_needs_an_anchor() -> None:
    """Before anything is built."""
    with pytest.raises(ConfigError, match=r"^model\.anchors: got \[\], expected the side of one square or more"):
        build("ssd", "batch", anchors=[])
