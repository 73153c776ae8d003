from dataclasses import replace
from pathlib import Path

import pytest
import torch
from problems import problem

from normbench.norms.factory import norm_layers
from normbench.spec import Component
from normbench.training.build import build

DIGITS = ((1, 8, 8), 10)


@pytest.mark.parametrize("model", ["mlp", "resnet", "plain"])
@pytest.mark.parametrize("norm", ["layer", "group", "none"])
def test_arms_of_one_seed_share_their_initial_weights(model: str, norm: str) -> None:
    """Every weight that two arms both have, they begin with alike."""
    ours = build(problem(f"{model}-batch"), *DIGITS).state_dict()
    theirs = build(problem(f"{model}-{norm}"), *DIGITS).state_dict()
    shared = {name for name in ours.keys() & theirs.keys() if name.endswith("layer.weight")}
    assert len(shared) == {"mlp": 2}.get(model, 7)
    assert all(torch.equal(ours[name], theirs[name]) for name in (*shared, "head.weight", "head.bias"))


def test_resnet_and_plain_share_their_initial_weights() -> None:
    """Taking the shortcuts away changes no initial weight."""
    torch.testing.assert_close(
        build(problem("resnet-batch"), *DIGITS).state_dict(),
        build(problem("plain-batch"), *DIGITS).state_dict(),
        rtol=0,
        atol=0,
    )


def test_seeds_differ_in_their_initial_weights() -> None:
    """Another seed draws every weight matrix anew."""
    first, second = (build(problem("mlp-batch", seed=seed), *DIGITS).state_dict() for seed in (0, 1))
    assert not any(torch.equal(first[name], second[name]) for name in first if name.endswith("layer.weight"))


@pytest.mark.parametrize("size", [4, None], ids=str)
def test_norm_batch_size_reaches_every_norm(size: int | None) -> None:
    """Each batch norm takes its training statistics over that many samples."""
    layers = norm_layers(build(problem("resnet-batch", norm_batch_size=size), *DIGITS))
    assert [layer.norm_batch_size for layer in layers.values()] == [size] * 7


def test_building_leaves_the_global_state_alone(own: str) -> None:
    """Constructors that draw move nobody else's random numbers."""
    before = torch.get_rng_state()
    build(problem("mlp-batch", model=Component("mine", {}, f"{own}.Net")), *DIGITS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_users_own_norm_is_built_with_its_arguments(own: str) -> None:
    """A norm by its dotted path stands where a shipped one would."""
    run = problem("mlp-batch", norm=Component("mine", {"by": 2.0}, f"{own}.Shift"))
    layers = norm_layers(build(run, *DIGITS))
    assert [type(layer).__name__ for layer in layers.values()] == ["Shift"] * 2
    assert all(layer.by == 2.0 for layer in layers.values())


def test_a_users_own_model_keeps_the_weights_that_it_draws(own: str) -> None:
    """A model without a declared initialisation draws its own, from the run's seed."""
    first, again, other = (
        build(problem("mlp-batch", seed=seed, model=Component("mine", {}, f"{own}.Net")), *DIGITS).state_dict()
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first["layer.weight"], other["layer.weight"])
    assert not torch.equal(first["layer.bias"], torch.zeros(4))


@pytest.mark.parametrize("model", ["mlp", "resnet"])
def test_kept_weights_are_where_the_next_run_starts(model: str, tmp_path: Path) -> None:
    """Of the same model all of them, the statistics too; path and norm may differ."""
    first = build(problem(f"{model}-batch", seed=1), *DIGITS)
    for buffer in first.buffers():
        buffer.add_(3)
    torch.save(first.state_dict(), tmp_path / "kept.pt")
    run = problem(f"{model}-batch")
    run = replace(run, model=replace(run.model, args={**run.model.args, "weights": str(tmp_path / "kept.pt")}))
    torch.testing.assert_close(build(run, *DIGITS).state_dict(), first.state_dict(), rtol=0, atol=0)
