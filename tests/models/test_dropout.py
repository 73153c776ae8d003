"""Tests of dropout with given masks."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from normbench.models.dropout import Dropout, draw_masks, optional_dropout


def _model(p: float = 0.25) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 50), Dropout(p, (50,)), nn.Linear(50, 20), Dropout(p, (20,)))


def _mask(module: nn.Module) -> Tensor:
    assert isinstance(module, Dropout)
    assert module.mask is not None
    return module.mask


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_hold_zero_or_the_inverse_of_what_is_kept() -> None:
    """Values are 0 and 1/(1-p), in the model's dtype, and a share p of them is 0."""
    model = _model().double()
    draw_masks(model, 400, _generator())
    mask = _mask(model[1])
    assert (mask.shape, mask.dtype) == ((400, 50), torch.float64)
    assert sorted(set(mask.flatten().tolist())) == [0.0, 1 / 0.75]
    assert (mask == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)


def test_training_multiplies_and_evaluation_does_not() -> None:
    """The mask acts in training only."""
    module = nn.Sequential(nn.Linear(4, 4), Dropout(0.5, (4,)))
    draw_masks(module, 6, _generator())
    x = torch.randn(6, 4)
    assert torch.equal(module(x), module[0](x) * _mask(module[1]))
    module.eval()
    assert torch.equal(module(x), module[0](x))


def test_one_generator_gives_masks_in_order() -> None:
    """The same seed gives the same masks, step after step; layers and steps differ."""
    first, second = _model(), _model()
    generators = _generator(), _generator()
    seen = []
    for _ in range(2):
        draw_masks(first, 8, generators[0])
        draw_masks(second, 8, generators[1])
        for index in (1, 3):
            assert torch.equal(_mask(first[index]), _mask(second[index]))
        seen.append(_mask(first[1]).clone())
    assert not torch.equal(*seen)
    assert not torch.equal(_mask(first[1])[:, :20], _mask(first[3]))


def test_masks_are_redrawn_in_place() -> None:
    """Whoever holds a mask sees the next one; another batch size makes a new one."""
    model = _model()
    draw_masks(model, 8, _generator())
    held = _mask(model[1])
    draw_masks(model, 8, _generator(1))
    assert _mask(model[1]) is held
    draw_masks(model, 4, _generator(2))
    assert _mask(model[1]).shape == (4, 50)


def test_a_training_step_without_masks_is_an_error() -> None:
    """Without masks there would be no dropout; only a dry run may go without."""
    model = _model()
    with pytest.raises(AssertionError, match="draw_masks"):
        model(torch.zeros(2, 3))
    with torch.no_grad():
        assert model(torch.zeros(2, 3)).shape == (2, 20)
    assert model.to("meta")(torch.zeros(2, 3, device="meta")).shape == (2, 20)


def test_masks_are_no_part_of_the_state_dict() -> None:
    """A checkpoint holds no mask."""
    model = _model()
    before = set(model.state_dict())
    draw_masks(model, 8, _generator())
    assert set(model.state_dict()) == before


def test_stacked_runs_use_their_own_masks() -> None:
    """Under vmap each run multiplies by its own mask, with no random number drawn inside."""
    runs = [_model() for _ in range(3)]
    for seed, run in enumerate(runs):
        draw_masks(run, 5, _generator(seed))
    parameters, buffers = stack_module_state(runs)
    x = torch.randn(5, 3)
    stacked = torch.func.vmap(lambda p, b: functional_call(runs[0], (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(stacked, torch.stack([run(x) for run in runs]))


def test_no_dropout_draws_nothing() -> None:
    """Where p is 0 there is no module, and the generator stays where it was."""
    generator = _generator()
    state = generator.get_state()
    model = nn.Sequential(nn.Linear(3, 3), optional_dropout(0.0, (3,)))
    draw_masks(model, 8, generator)
    assert not any(isinstance(module, Dropout) for module in model.modules())
    assert torch.equal(generator.get_state(), state)
