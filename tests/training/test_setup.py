import pytest
import torch
from problems import CPU, dataset_of, problem

from normbench.spec import Run
from normbench.training.build import build
from normbench.training.setup import set_up, split_of


def test_a_run_is_prepared_for_its_budget() -> None:
    """Rates are the schedule's factors times the peak rate, one a step, and the model is ready to train."""
    run = problem("mlp-batch-cosine_warmup")
    setup = set_up(run, dataset_of(run), CPU)
    assert setup.rates == pytest.approx([0.025, 0.05, 0.05])
    assert setup.model.training
    assert (setup.evaluator.norm_batch_size, setup.budget.total) == (16, 3)


@pytest.mark.parametrize(("name", "expected"), [("mlp-batch", 16), ("mlp-batch-ghost", 4)], ids=["batch", "ghost"])
def test_evaluation_takes_the_norm_batch_of_training(name: str, expected: int) -> None:
    """The third test accuracy is by as many samples as the statistics see in training."""
    run = problem(name)
    assert set_up(run, dataset_of(run), CPU).evaluator.norm_batch_size == expected


@pytest.mark.parametrize(
    ("name", "decay_free"),
    [
        ("mlp-batch", set[str]()),
        ("mlp-batch-undecayed", {"layers.0.norm.weight", "layers.0.norm.bias"}),
        ("mlp-group-adamw_undecayed", {"layers.1.norm.weight", "layers.1.norm.bias"}),
    ],
    ids=["all decay", "sgd", "adamw"],
)
def test_decay_norm_off_spares_the_norms(name: str, decay_free: set[str]) -> None:
    """With zero gradients, decay alone moves the weights: all of them, or all but gamma and beta."""
    run = problem(name)
    setup = set_up(run, dataset_of(run), CPU)
    for param in setup.params.values():
        param.data.fill_(1.0)
    still_grads = {key: torch.zeros_like(param) for key, param in setup.params.items()}
    setup.optimizer.step(still_grads, torch.tensor(0.1))
    still = {key for key, param in setup.params.items() if torch.equal(param, torch.ones_like(param))}
    if run.optimizer.number("weight_decay") == 0:
        assert still == set(setup.params)
        return
    assert decay_free <= still
    assert still == {key for key in setup.params if ".norm." in key}


def test_arms_of_one_seed_share_their_split() -> None:
    """Neither norm nor model changes which samples train, validate and test."""
    first, second = (split_of(run, dataset_of(run)) for run in (problem("mlp-batch"), problem("resnet-none")))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(first, part), getattr(second, part))
    assert torch.equal(first.fields["labels"], second.fields["labels"])


def test_frozen_parameters_are_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that wants no gradient is no part of what the optimizer changes."""
    run = problem("mlp-none")

    def build_frozen(run: Run, input_shape: tuple[int, ...], num_classes: int) -> torch.nn.Module:
        model = build(run, input_shape, num_classes)
        model.get_parameter("head.weight").requires_grad_(False)
        return model

    monkeypatch.setattr("normbench.training.setup.build", build_frozen)
    assert "head.weight" not in set_up(run, dataset_of(run), CPU).params


def test_masks_and_crops_have_streams_of_the_seed() -> None:
    """Dropout and augmentation draw apart from each other, and anew for every seed."""
    setups = [set_up(run, dataset_of(run), CPU) for run in (problem("mlp-batch", seed=seed) for seed in (0, 1))]
    streams = {stream.initial_seed() for setup in setups for stream in (setup.masks, setup.crops)}
    assert len(streams) == 4
