"""The generator of style transfer with every norm."""

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.initialization import initialize
from normbench.models.registry import REGISTRY, refuse_other_inputs
from normbench.norms import REGISTRY as NORMS
from normbench.norms import NormFactory
from normbench.norms.factory import norm_layers
from normbench.randomness import generator
from normbench.shapes import PictureShape


def build(norm: str, **settings: object) -> nn.Module:
    module = REGISTRY["stylizer"](PictureShape(3, 18, 13), 3, NormFactory(NORMS[norm]), width=4, depth=1, **settings)
    initialize(module, lambda name: generator(0, name))
    return module.double()


def pictures(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 18, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_trains(norm: str) -> None:
    """Pictures keep their size, odd or not, and each parameter has a finite gradient."""
    module = build(norm)
    outputs = module(pictures())
    assert outputs.shape == (2, 3, 18, 13)
    torch.autograd.backward(outputs.square().mean())
    assert all(param.grad is not None and param.grad.isfinite().all() for param in module.parameters())
    assert len(norm_layers(module)) == 7


def test_norms_share_the_initial_weights() -> None:
    """So arms with one seed differ in the norm alone."""
    reference = {name: value for name, value in build("none").named_parameters() if value.ndim > 1}
    for norm in ("batch", "instance"):
        weights = {name: value for name, value in build(norm).named_parameters() if value.ndim > 1}
        assert weights.keys() == reference.keys()
        assert all(torch.equal(value, reference[name]) for name, value in weights.items())


def test_instance_norm_ignores_contrast_and_brightness_where_nothing_clips() -> None:
    """The first norm removes what multiplies a whole picture; without a norm it stays."""
    x = pictures()
    same, other = build("instance", activation="relu"), build("none")
    first, bare = same.get_submodule("down.0"), other.get_submodule("down.0")
    torch.testing.assert_close(first(100 * x), first(1000 * x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(bare(100 * x), bare(1000 * x))


def test_what_does_not_fit_is_refused() -> None:
    """Pictures too small to pad, and models of other tasks."""
    with pytest.raises(ImpossibleRunError, match=r"pictures of 7x9 are too small: model=stylizer needs at least 8x8"):
        REGISTRY["stylizer"](PictureShape(3, 7, 9), 3, NormFactory(NORMS["none"]))
    with pytest.raises(ImpossibleRunError, match="gives pictures to repaint; choose model=stylizer"):
        refuse_other_inputs("resnet", PictureShape(3, 64, 64), "style")
