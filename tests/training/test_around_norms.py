import pytest
import torch
from problems import CPU, dataset_of, problem
from torch import Tensor

from normbench.norms.factory import norm_layers
from normbench.training.around_norms import around_norms
from normbench.training.setup import Setup, set_up

from .trained import state_of, trained


@pytest.fixture
def probed() -> tuple[Setup, Tensor]:
    """Return an MLP with batch norm after some steps, and 40 images."""
    setup, _ = trained(problem("mlp-batch", steps=5))
    return setup, setup.dataset.fetch(setup.parts.val[:40])["images"]


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("mlp-batch", {"layers.0.norm": (40, 16), "layers.1.norm": (40, 16)}),
        (
            "plain-group",
            {"stem.norm": (40, 4, 8, 8)}
            | {
                f"blocks.{block}.{layer}.norm": (40, channels, pixels, pixels)
                for block, (channels, pixels) in enumerate([(4, 8), (8, 4), (16, 2)])
                for layer in ("first", "second")
            },
        ),
    ],
    ids=["mlp", "plain"],
)
def test_every_norm_layer_is_seen(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Keys are the norm layers in the order of the model, values what goes in and comes out."""
    run = problem(name)
    setup = set_up(run, dataset_of(run), CPU)
    seen = around_norms(setup.model, [setup.dataset.fetch(setup.parts.val[:40])["images"]])
    assert list(seen) == list(norm_layers(setup.model))
    assert {layer: (before.shape, after.shape) for layer, (before, after) in seen.items()} == {
        layer: (shape, shape) for layer, shape in shapes.items()
    }


def test_what_comes_out_of_batch_norm_has_the_learnt_moments(probed: tuple[Setup, Tensor]) -> None:
    """Over the examples, a feature has mean beta and standard deviation gamma, shrunk by eps."""
    setup, images = probed
    for name, (before, after) in around_norms(setup.model, [images]).items():
        layer = setup.model.get_submodule(name)
        assert isinstance(layer.weight, Tensor) and isinstance(layer.bias, Tensor)
        variance = before.var(dim=0, correction=0)
        torch.testing.assert_close(after.mean(dim=0), layer.bias.detach(), rtol=1e-4, atol=1e-5)
        expected = layer.weight.detach().abs() * (variance / (variance + 1e-5)).sqrt()
        torch.testing.assert_close(after.std(dim=0, correction=0), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(layer.bias.detach(), torch.zeros(16), atol=1e-3)


def test_what_goes_into_the_first_norm_is_the_first_layers_output(probed: tuple[Setup, Tensor]) -> None:
    """The values before the norm are those of the layer in front of it."""
    setup, images = probed
    before, _ = around_norms(setup.model, [images])["layers.0.norm"]
    weight = setup.model.get_parameter("layers.0.layer.weight").detach()
    torch.testing.assert_close(before, images.flatten(1) @ weight.T)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_nothing_is_left_behind(probed: tuple[Setup, Tensor], mode: bool) -> None:
    """Weights, buffers, mode, hooks, what norms read and the global random state are as before."""
    setup, images = probed
    model = setup.model.train(mode)
    state, random = state_of(setup), torch.get_rng_state()
    around_norms(model, [images])
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training == mode for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(layer.statistics is None for layer in norm_layers(model).values())


def test_a_failing_forward_leaves_nothing_behind(probed: tuple[Setup, Tensor]) -> None:
    """Mode and hooks are put back where the model raises."""
    model = probed[0].model
    with pytest.raises(RuntimeError):
        around_norms(model, [torch.zeros(4, 3)])
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
