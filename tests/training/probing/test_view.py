"""A view is the model in training mode, but for what it leaves as it was."""

import pytest
import torch
from torch import Tensor, nn

from normbench.norms import NormFactory
from normbench.norms.sequence import norm_sites
from normbench.training.probing.units import Units
from normbench.training.probing.view import View, cosine, length, mean_of

from .moments import ARMS, TASK, case


@pytest.mark.parametrize("arm", ARMS)
def test_outputs_are_those_of_training_mode(arm: str) -> None:
    """The functional forward by each batch's own statistics equals the model's own."""
    made = case(arm)
    moment = made.moment
    expected = made.trained(moment.params)(moment.batch["images"])
    torch.testing.assert_close(made.view.outputs(moment.params, moment.buffers, moment.batch), expected)


@pytest.mark.parametrize("arm", ["mlp-batch", "resnet-batch"])
def test_chunks_share_statistics(arm: str) -> None:
    """With a norm batch of 4, the forward equals ghost batches of 4, and not the whole batch."""
    made = case(arm, chunk=4)
    moment = made.moment
    logits = made.view.outputs(moment.params, moment.buffers, moment.batch)
    torch.testing.assert_close(logits, made.trained(moment.params)(moment.batch["images"]))
    whole = made.view.outputs_by_population(moment.params, moment.buffers, moment.batch)
    assert not torch.allclose(logits, whole)


@pytest.mark.parametrize("arm", ARMS)
def test_gradients_are_those_of_autograd(arm: str) -> None:
    """`torch.func` through the skeleton equals a backward pass through the model."""
    made = case(arm)
    moment = made.moment
    found = made.view.gradients(moment.before, moment.buffers, moment.batch)
    torch.testing.assert_close(found, made.gradients(moment.before))


def test_layers_come_in_the_order_of_their_calls() -> None:
    """The order is that of the forward pass, not of construction, and what is never called is left out."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(3, 2)
            self.unused = nn.Linear(3, 3)
            self.act = nn.ReLU(inplace=True)
            self.norm = NormFactory(nn.LayerNorm)(3)
            self.first = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.act(self.norm(self.first(x))))
            return out

    model = Crossed()
    view = View.of(model, TASK, {"images": torch.zeros(2, 4)}, norm_batch_size=None)
    assert (view.weights, view.norms, view.activations) == (("first", "last"), ("norm",), ("act",))
    assert model.act.inplace and not view.skeleton.get_submodule("act").inplace


def test_norms_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each layer was three quarters of a run of one step with 64 layers."""
    searches: list[nn.Module] = []

    def searching(model: nn.Module) -> dict[str, nn.Module]:
        searches.append(model)
        return norm_sites(model)

    monkeypatch.setattr("normbench.training.probing.view.norm_sites", searching)
    case("mlp-batch")
    assert len(searches) == 1


def test_watching_ends_with_its_block() -> None:
    """A forward that raises leaves no hook behind."""
    made = case("mlp-none")
    with pytest.raises(RuntimeError), made.view.watching(made.view.sites, lambda before, _: before.values):
        made.view.outputs(made.moment.params, made.moment.buffers, {"images": torch.zeros(2, 5)})
    assert not any(module._forward_hooks for module in made.view.skeleton.modules())


def test_units_are_channels() -> None:
    """Samples and positions lie beside each other, for features and for maps."""
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    assert Units.of(maps).values[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert Units.of(maps[:, :, 0, 0]).values.shape == (3, 2)


def test_vectors_have_no_smallest_size() -> None:
    """Tiny vectors have a length and an angle in float32, zero has none and is left out of a mean."""
    tiny = cosine(torch.tensor([3e-30, 4e-30]), torch.tensor([1.0, 0.0]))
    nothing = cosine(torch.zeros(2), torch.ones(2))
    assert float(tiny) == pytest.approx(0.6) and nothing.isnan()
    assert mean_of([tiny, nothing]) == tiny
    assert float(length(torch.tensor([3e-30, 4e-30]))) == pytest.approx(5e-30) and length(torch.zeros(2)) == 0
